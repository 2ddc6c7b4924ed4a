# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from headroom_gateway import fal_calls, retry_after, settings, store
from headroom_gateway.entry import Entry, pack
from headroom_gateway.http_message import Head, end_to_end, header
from headroom_gateway.images import Ledger
from headroom_gateway.metrics import Metrics
from headroom_gateway.redis_link import encode

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {b"retry-after": b"7"}, 7),
        (503, {b"retry-after": b"7"}, 7),
        (500, {b"retry-after": b"7"}, 0),
        (200, {b"retry-after": b"7"}, 0),
        (429, {}, 0),
        (429, {b"retry-after": b"1.5"}, 1.5),
        (429, {b"retry-after": b"86400"}, 60),
        (429, {b"retry-after": b"-3"}, 0),
        (429, {b"retry-after": b"inf"}, 0),
        (429, {b"retry-after": b"soon"}, 0),
        (429, {b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        (429, {b"retry-after": b"Mon, 21 Sep 2026 14:13:30 GMT"}, 10),
        (429, {b"retry-after": b"Mon, 21 Sep 2026 14:13:10 GMT"}, 0),
    ],
)
def test_how_long_a_provider_wants_to_be_left_alone(status, headers, seconds):
    assert retry_after.seconds(Head(status, list(headers.items())), NOW) == seconds


def test_headers_for_neighbours_go_no_further():
    headers = [(b"connection", b"close, X-Mine"), (b"x-mine", b"1"), (b"te", b"trailers"), (b"accept", b"a")]
    assert end_to_end(headers) == [(b"accept", b"a")]
    assert header([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], b"a") == b"1, 3"


def test_images_leave_in_the_order_of_their_last_use():
    ledger = Ledger(100)
    assert ledger.add(b"a", 40) == [] and ledger.add(b"b", 40) == []
    ledger.used(b"a")
    assert ledger.add(b"c", 40) == [b"b"]
    assert (ledger.total, len(ledger)) == (80, 2)
    assert ledger.add(b"huge", 500) == [b"a", b"c", b"huge"]
    assert (ledger.total, len(ledger)) == (0, 0)
    ledger.forget(b"never seen")
    assert ledger.add(b"a", 10) == [] and ledger.add(b"a", 30) == []
    assert ledger.total == 30


def test_metrics_page():
    metrics = Metrics()
    metrics.count("requests_total", "openai", "chat", "HIT")
    metrics.count("requests_total", "openai", "chat", "HIT")
    metrics.count("bypass_total", "openai", 'odd "reason"\n')
    metrics.took("openai", "HIT", 0.0007)
    metrics.took("openai", "HIT", 99.0)
    page = metrics.render([("cache_up", "Up.", "", 1), ("waits_total", "W.", '{provider="fal"}', 3)]).decode()
    assert 'headroom_gateway_requests_total{provider="openai",route="chat",result="HIT"} 2\n' in page
    assert 'reason="odd \\"reason\\"\\n"' in page
    assert 'request_seconds_bucket{provider="openai",result="HIT",le="0.001"} 1\n' in page
    assert 'request_seconds_bucket{provider="openai",result="HIT",le="+Inf"} 2\n' in page
    assert "# TYPE headroom_gateway_cache_up gauge\nheadroom_gateway_cache_up 1\n" in page
    assert "# TYPE headroom_gateway_waits_total counter\n" in page


def test_prometheus_reads_the_page():
    parser = pytest.importorskip("prometheus_client.parser")
    metrics = Metrics()
    metrics.count("requests_total", "openai", "chat", "HIT")
    metrics.took("openai", "HIT", 0.2)
    families = {family.name: family for family in parser.text_string_to_metric_families(metrics.render().decode())}
    assert families["headroom_gateway_requests"].samples[0].value == 1
    assert families["headroom_gateway_request_seconds"].type == "histogram"


def test_settings():
    found = settings.read({"HEADROOM_GATEWAY_LISTEN": "127.0.0.1:99", "HEADROOM_GATEWAY_LOG_LEVEL": "debug"})
    assert (found.host, found.port, found.redis_url, found.log_level) == ("127.0.0.1", 99, "", "DEBUG")
    assert settings.read({"HEADROOM_GATEWAY_LISTEN": "[::]:80"}).host == "::"
    assert settings.read({}).port == 8080
    for name, value in (("LISTEN", "8080x"), ("LISTEN", "a:b"), ("REDIS_URL", "rediss://a"), ("LOG_LEVEL", "loud")):
        with pytest.raises(settings.SettingsError, match=name):
            settings.read({"HEADROOM_GATEWAY_" + name: value})


def test_a_full_hash_loses_what_ends_first():
    held = {bytes([n]): pack(Entry(1, 1000 + n, [], b"x")) for n in (3, 1, 2, 5, 4)}
    assert store.surplus(held, 3) == [b"\x01", b"\x02"]
    assert store.surplus(held, 9) == []


def test_a_small_answers_place():
    assert store.bucket("deepl", b"\x04\x01rest") == b"p:deepl:\x00\x01"
    assert store.bucket("deepl", b"\x03\xff") == b"p:deepl:\x00\xff"


def test_a_command_as_redis_reads_it():
    assert encode((b"SET", b"k\r\n", b"")) == b"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$0\r\n\r\n"


def test_fals_three_bodies():
    submitted = b'{"status": "IN_QUEUE", "request_id": "5", "queue_position": 0, "status_url": "u"}'
    result = Entry(1, 2, [], '{"images": [], "prompt": "слон"}'.encode())
    job = fal_calls.Job(b"k", "fal", None, submitted, 0.0, result=result)
    bodies = fal_calls.from_body(fal_calls.to_body(job))
    assert bodies[0] == submitted and bodies[2] == result.body
    assert b'"COMPLETED"' in bodies[1] and b"queue_position" not in bodies[1] and b'"status_url": "u"' in bodies[1]
    assert fal_calls.from_body(b"[1, 2]") is None and fal_calls.from_body(b"x") is None


def test_a_jobs_paths_are_one_job_for_one_account():
    one = fal_calls.ticket_of(b"/fal-ai/flux/requests/77/status", b"me")
    assert one == fal_calls.ticket_of(b"/fal-ai/flux/requests/77", b"me") == fal_calls.ticket_of(b"/requests/77", b"me")
    assert one != fal_calls.ticket_of(b"/fal-ai/flux/requests/77", b"you")
    assert one != fal_calls.ticket_of(b"/fal-ai/flux/requests/78", b"me")
