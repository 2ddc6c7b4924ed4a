#!/bin/sh
# Three jobs that cannot be imported fail; the first is made to have failed forty days ago.
set -eu
docker exec -i imagebot-worker-image python - <<'PYTHON'
import time
from datetime import datetime, timedelta, timezone

from redis import Redis
from rq import Queue

redis = Redis.from_url("redis://localhost:6379/0")
queue = Queue("img_queue", connection=redis)
jobs = [queue.enqueue("app.worker.tasks.no_such_job", number, job_timeout=240) for number in range(3)]
end = time.monotonic() + 60
while len(queue.failed_job_registry) < 3:
    if time.monotonic() > end:
        raise SystemExit("the jobs did not fail")
    time.sleep(0.2)
old = (datetime.now(timezone.utc) - timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
redis.hset(f"rq:job:{jobs[0].id}", "ended_at", old)
PYTHON
