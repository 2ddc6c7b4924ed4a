# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose texts before and after a change, as recorded from the editor and read through by a person.

Each case: name, text before, changes, text after.
"""

from __future__ import annotations

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Set


def bot(*keys):
    return ("services", "bot", *keys)


LIMIT = Set(bot("mem_limit"), "120M")
NO_LIMIT = Delete(bot("mem_limit"))

CASES = [
    (
        "last service",
        """\
services:
  bot:
    image: x
""",
        [LIMIT],
        """\
services:
  bot:
    image: x
    mem_limit: 120M
""",
    ),
    (
        "tabs in comments",
        ("services:\n  bot:\n    image: x\t# the\timage\n\t# a\ttab\n\n  api:\n    image: y\n"),
        [LIMIT],
        ("services:\n  bot:\n    mem_limit: 120M\n    image: x\t# the\timage\n\t# a\ttab\n\n  api:\n    image: y\n"),
    ),
    (
        "crlf",
        ("services:\r\n  bot:\r\n    image: x\r\n\r\n  api:\r\n    image: y\r\n"),
        [LIMIT],
        ("services:\r\n  bot:\r\n    image: x\r\n    mem_limit: 120M\r\n\r\n  api:\r\n    image: y\r\n"),
    ),
    (
        "crlf no eof newline",
        ("services:\r\n  bot:\r\n    image: x"),
        [LIMIT],
        ("services:\r\n  bot:\r\n    image: x\r\n    mem_limit: 120M"),
    ),
    (
        "no eof newline value",
        ("services:\n  bot:\n    mem_limit: 1g"),
        [LIMIT],
        ("services:\n  bot:\n    mem_limit: 120M"),
    ),
    (
        "bom",
        ("\ufeffservices:\n  bot:\n    image: x\n"),
        [LIMIT],
        ("\ufeffservices:\n  bot:\n    image: x\n    mem_limit: 120M\n"),
    ),
    (
        "mixed breaks",
        ("services:\n  bot:\r\n    image: x\r\n  api:\n    image: y\n"),
        [LIMIT],
        ("services:\n  bot:\r\n    image: x\r\n    mem_limit: 120M\r\n  api:\n    image: y\n"),
    ),
    (
        "old mac breaks",
        "services:\r  bot:\r    image: x\r  api:\r    image: y\r",
        [LIMIT],
        "services:\r  bot:\r    image: x\r    mem_limit: 120M\r  api:\r    image: y\r",
    ),
    (
        "wide characters",
        """\
services:
  bot:
    image: x # образ 🐳
    labels: {é: 'ü'}
  api: {image: y}
""",
        [LIMIT],
        """\
services:
  bot:
    image: x # образ 🐳
    labels: {é: 'ü'}
    mem_limit: 120M
  api: {image: y}
""",
    ),
    (
        "comment after value",
        """\
services:
  bot:
    mem_limit: 1g   # was 512m: too small
    image: x
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M   # was 512m: too small
    image: x
""",
    ),
    (
        "comments around",
        """\
services:
  # the bot
  bot: # main
    # its image
    image: x
    # trailing words

  # the api
  api:
    image: y
""",
        [LIMIT],
        """\
services:
  # the bot
  bot: # main
    # its image
    image: x
    mem_limit: 120M
    # trailing words

  # the api
  api:
    image: y
""",
    ),
    (
        "commented out key",
        """\
services:
  bot:
    image: x
    # mem_limit: 2g
    # cpus: 1

  api:
    image: y
""",
        [LIMIT],
        """\
services:
  bot:
    image: x
    mem_limit: 120M
    # mem_limit: 2g
    # cpus: 1

  api:
    image: y
""",
    ),
    (
        "commented out key in the middle",
        """\
services:
  bot:
    image: x
    # deploy:
    #   resources:
    restart: always
""",
        [LIMIT],
        """\
services:
  bot:
    image: x
    # deploy:
    #   resources:
    restart: always
    mem_limit: 120M
""",
    ),
    (
        "four spaces",
        """\
services:
    bot:
        image: x
        ports:
            - 80:80
""",
        [Set(bot("deploy", "resources", "limits", "memory"), "1g"), Set(bot("dns"), ["a", "b"])],
        """\
services:
    bot:
        image: x
        ports:
            - 80:80
        deploy:
            resources:
                limits:
                    memory: 1g
        dns:
            - a
            - b
""",
    ),
    (
        "dashes at the key",
        """\
services:
  bot:
    image: x
    ports:
    - 80:80
""",
        [Set(bot("dns"), ["a"]), Set(bot("ports", 1), "81:81")],
        """\
services:
  bot:
    image: x
    ports:
    - 80:80
    - 81:81
    dns:
    - a
""",
    ),
    (
        "odd indentation",
        """\
services:
   bot:
     image: x
""",
        [Set(bot("deploy", "resources", "limits", "memory"), "1g")],
        """\
services:
   bot:
     image: x
     deploy:
       resources:
         limits:
           memory: 1g
""",
    ),
    (
        "null service",
        """\
services:
  redis:
  bot:   # later

  api:
    image: y
""",
        [LIMIT],
        """\
services:
  redis:
  bot:   # later
    mem_limit: 120M

  api:
    image: y
""",
    ),
    (
        "tilde service",
        """\
services:
  bot: ~ # none
  api: null
""",
        [LIMIT, Set(("services", "api", "mem_limit"), "120M")],
        """\
services:
  bot: # none
    mem_limit: 120M
  api:
    mem_limit: 120M
""",
    ),
    (
        "empty mapping",
        """\
services:
  bot: {}
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "empty mapping with comment",
        """\
services:
  bot: {
    # nothing yet
  }
""",
        [LIMIT],
        """\
services:
  bot: {mem_limit: 120M
    # nothing yet
  }
""",
    ),
    (
        "null value",
        """\
services:
  bot:
    mem_limit: # todo
    image: x
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M # todo
    image: x
""",
    ),
    (
        "flow service",
        """\
services:
  bot: {image: x, restart: always} # c
""",
        [LIMIT],
        """\
services:
  bot: {image: x, restart: always, mem_limit: 120M} # c
""",
    ),
    (
        "flow all",
        """\
{services: {bot: {image: x}, api: {image: y}}}
""",
        [LIMIT],
        """\
{services: {bot: {image: x, mem_limit: 120M}, api: {image: y}}}
""",
    ),
    (
        "json",
        """\
{
  "services": {
    "bot": {
      "image": "x"
    }
  }
}
""",
        [LIMIT],
        """\
{
  "services": {
    "bot": {
      "image": "x",
      "mem_limit": "120M"
    }
  }
}
""",
    ),
    (
        "flow trailing comma",
        """\
services:
  bot: {
    image: x, # one
    restart: always, # two
  }
""",
        [LIMIT],
        """\
services:
  bot: {
    image: x, # one
    restart: always, # two
    mem_limit: 120M,
  }
""",
    ),
    (
        "flow comment last",
        """\
services:
  bot: {
    image: x, # one
    restart: always # two
  }
""",
        [LIMIT],
        """\
services:
  bot: {
    image: x, # one
    restart: always, # two
    mem_limit: 120M
  }
""",
    ),
    (
        "flow headless key",
        """\
services: {bot, api: {image: y}}
""",
        [LIMIT],
        """\
services: {bot: {mem_limit: 120M}, api: {image: y}}
""",
    ),
    (
        "flow empty value",
        """\
services: {bot: , api: {image: y}}
""",
        [LIMIT],
        """\
services: {bot: {mem_limit: 120M} , api: {image: y}}
""",
    ),
    (
        "single quotes",
        """\
services:
  bot:
    mem_limit: '1g'
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: '120M'
""",
    ),
    (
        "double quotes",
        """\
services:
  bot:
    mem_limit: "1g" # c
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: "120M" # c
""",
    ),
    (
        "number in quotes",
        """\
services:
  bot:
    cpus: '0.50'
""",
        [Set(bot("cpus"), 0.25)],
        """\
services:
  bot:
    cpus: '0.25'
""",
    ),
    (
        "plain number",
        """\
services:
  bot:
    cpus: 0.50
    pids_limit: 1_000
""",
        [Set(bot("cpus"), 0.25), Set(bot("pids_limit"), 200)],
        """\
services:
  bot:
    cpus: 0.25
    pids_limit: 200
""",
    ),
    (
        "same number in quotes",
        """\
services:
  bot:
    cpus: '0.5'
""",
        [Set(bot("cpus"), 0.5)],
        """\
services:
  bot:
    cpus: '0.5'
""",
    ),
    (
        "bytes as string",
        """\
services:
  bot:
    mem_limit: 1g
""",
        [Set(bot("mem_limit"), "1073741824")],
        """\
services:
  bot:
    mem_limit: "1073741824"
""",
    ),
    (
        "decimal",
        """\
services:
  bot:
    mem_limit: 1.5G
""",
        [Set(bot("mem_limit"), "1.25G")],
        """\
services:
  bot:
    mem_limit: 1.25G
""",
    ),
    (
        "default of a variable",
        """\
services:
  bot:
    mem_limit: ${MEM:-1g}
  api:
    mem_limit: "${MEM-1g}"
""",
        [LIMIT, Set(("services", "api", "mem_limit"), "120M")],
        """\
services:
  bot:
    mem_limit: ${MEM:-120M}
  api:
    mem_limit: "${MEM-120M}"
""",
    ),
    (
        "variable without default",
        """\
services:
  bot:
    mem_limit: ${MEM}
  api:
    mem_limit: $MEM # env
""",
        [LIMIT, Set(("services", "api", "mem_limit"), "120M")],
        """\
services:
  bot:
    mem_limit: ${MEM:-120M}
  api:
    mem_limit: ${MEM:-120M} # env
""",
    ),
    (
        "nested default",
        """\
services:
  bot:
    mem_limit: ${BOT_MEM:-${MEM:-1g}}
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: ${BOT_MEM:-${MEM:-120M}}
""",
    ),
    (
        "variable with unit",
        """\
services:
  bot:
    mem_limit: ${MEM:-512}M
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: ${MEM:-120}M
""",
    ),
    (
        "variable replaced",
        """\
services:
  bot:
    mem_limit: ${MEM:?set it}
""",
        [Set(bot("mem_limit"), "120M", literal=True)],
        """\
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "variable for a variable",
        """\
services:
  bot:
    mem_limit: ${MEM}
""",
        [Set(bot("mem_limit"), "${BOT_MEM:-1g}")],
        """\
services:
  bot:
    mem_limit: ${BOT_MEM:-1g}
""",
    ),
    (
        "variable in a command",
        """\
services:
  bot:
    command: uvicorn app:app --workers ${WORKERS:-2} --port 80
""",
        [Set(bot("command"), "uvicorn app:app --workers 1 --port 80")],
        """\
services:
  bot:
    command: uvicorn app:app --workers ${WORKERS:-1} --port 80
""",
    ),
    (
        "inherited variable",
        """\
x-a: &a
  mem_limit: ${MEM:-1g}
services:
  bot:
    <<: *a
    image: x
""",
        [LIMIT],
        """\
x-a: &a
  mem_limit: ${MEM:-1g}
services:
  bot:
    <<: *a
    image: x
    mem_limit: ${MEM:-120M}
""",
    ),
    (
        "dollar escaped",
        """\
services:
  bot:
    command: echo $$HOME
""",
        [Set(bot("command"), "echo $$USER")],
        """\
services:
  bot:
    command: echo $$USER
""",
    ),
    (
        "folded command",
        (
            "services:\n"
            "  bot:\n"
            "    command: >\n"
            "      uvicorn app:app\n"
            "      --workers 2   \n"
            "      --port 80\n"
            "    image: x\n"
        ),
        [Set(bot("command"), "uvicorn app:app --workers 1    --port 80\n")],
        (
            "services:\n"
            "  bot:\n"
            "    command: >\n"
            "      uvicorn app:app\n"
            "      --workers 1   \n"
            "      --port 80\n"
            "    image: x\n"
        ),
    ),
    (
        "folded drop",
        """\
services:
  bot:
    command: >-
      uvicorn app:app
      --workers 2
      --port 80
    image: x
""",
        [Set(bot("command"), "uvicorn app:app --port 80")],
        """\
services:
  bot:
    command: >-
      uvicorn app:app
      --port 80
    image: x
""",
    ),
    (
        "folded add",
        """\
services:
  bot:
    command: >-
      uvicorn app:app
      --port 80
    image: x
""",
        [Set(bot("command"), "uvicorn app:app --port 80 --workers 1")],
        """\
services:
  bot:
    command: >-
      uvicorn app:app
      --port 80 --workers 1
    image: x
""",
    ),
    (
        "literal",
        """\
services:
  bot:
    command: |
      set -e
      run --jobs 4   # not a comment
    image: x
""",
        [Set(bot("command"), "set -e\nrun --jobs 2   # not a comment\n")],
        """\
services:
  bot:
    command: |
      set -e
      run --jobs 2   # not a comment
    image: x
""",
    ),
    (
        "literal replaced",
        """\
services:
  bot:
    command: | # c
      set -e

      run

    image: x
""",
        [Set(bot("command"), "sleep 1")],
        """\
services:
  bot:
    command: sleep 1

    image: x
""",
    ),
    (
        "literal replaced by list",
        """\
services:
  bot:
    command: |
      set -e
      run
    # next
    image: x
""",
        [Set(bot("command"), ["sleep", "1"])],
        """\
services:
  bot:
    command:
      - sleep
      - "1"
    # next
    image: x
""",
    ),
    (
        "plain over lines",
        """\
services:
  bot:
    command: uvicorn app:app
      --workers 2
      --port 80
    image: x
""",
        [Set(bot("command"), "uvicorn app:app --workers 1 --port 80")],
        """\
services:
  bot:
    command: uvicorn app:app
      --workers 1
      --port 80
    image: x
""",
    ),
    (
        "quoted over lines",
        """\
services:
  bot:
    command: "uvicorn app:app
      --workers 2
      --port 80"
    image: x
""",
        [Set(bot("command"), "uvicorn app:app --workers 1 --port 80")],
        """\
services:
  bot:
    command: "uvicorn app:app
      --workers 1
      --port 80"
    image: x
""",
    ),
    (
        "value on the next line",
        """\
services:
  bot:
    command:
      uvicorn app:app --workers 2
    image:
      # the image
      x
""",
        [Set(bot("command"), "uvicorn app:app --workers 1"), Set(bot("image"), "y2")],
        """\
services:
  bot:
    command:
      uvicorn app:app --workers 1
    image:
      # the image
      y2
""",
    ),
    (
        "after a kept block scalar",
        """\
services:
  bot:
    command: |+
      run


# end
""",
        [LIMIT],
        """\
services:
  bot:
    command: |+
      run


    mem_limit: 120M
# end
""",
    ),
    (
        "after a block scalar without newline",
        ("services:\n  bot:\n    image: x\n    command: |\n      run"),
        [LIMIT],
        ("services:\n  bot:\n    image: x\n    mem_limit: 120M\n    command: |\n      run"),
    ),
    (
        "comment that would become text",
        """\
services:
  bot:
    image: x
    command: |
      run

  # below
  api:
    image: y
""",
        [LIMIT],
        """\
services:
  bot:
    image: x
    command: |
      run
    mem_limit: 120M

  # below
  api:
    image: y
""",
    ),
    (
        "alias service",
        """\
x-app: &app
  image: x
  labels:
    a: b # c
services:
  bot: *app # as the others
  api: *app
""",
        [LIMIT],
        """\
x-app: &app
  image: x
  labels:
    a: b # c
services:
  bot: # as the others
    <<: *app
    mem_limit: 120M
  api: *app
""",
    ),
    (
        "alias service nested",
        """\
x-app: &app
  image: x
  deploy:
    replicas: 2
    resources:
      limits: {cpus: '1', pids: 0100}
services:
  bot: *app
  api: *app
""",
        [Set(bot("deploy", "resources", "limits", "memory"), "1g")],
        """\
x-app: &app
  image: x
  deploy:
    replicas: 2
    resources:
      limits: {cpus: '1', pids: 0100}
services:
  bot:
    <<: *app
    deploy:
      replicas: 2
      resources:
        limits:
          cpus: '1'
          pids: 0100
          memory: 1g
  api: *app
""",
    ),
    (
        "alias nested",
        """\
x-deploy: &deploy
  resources:
    limits: {memory: 1g}
services:
  bot:
    image: x
    deploy: *deploy
  api:
    image: y
    deploy: *deploy
""",
        [Set(bot("deploy", "resources", "limits", "memory"), "120M")],
        """\
x-deploy: &deploy
  resources:
    limits: {memory: 1g}
services:
  bot:
    image: x
    deploy:
      <<: *deploy
      resources:
        limits:
          memory: 120M
  api:
    image: y
    deploy: *deploy
""",
    ),
    (
        "alias nested in anchors",
        """\
x-res: &res
  limits: &lim
    memory: 1g
    cpus: '1'
services:
  bot:
    image: x
    deploy:
      resources: *res
  api:
    image: y
    deploy:
      resources: *res
""",
        [Set(bot("deploy", "resources", "limits", "memory"), "120M")],
        """\
x-res: &res
  limits: &lim
    memory: 1g
    cpus: '1'
services:
  bot:
    image: x
    deploy:
      resources:
        <<: *res
        limits:
          <<: *lim
          memory: 120M
  api:
    image: y
    deploy:
      resources: *res
""",
    ),
    (
        "alias scalar",
        """\
x-mem: &mem 1g
services:
  bot:
    mem_limit: *mem
  api:
    mem_limit: *mem
""",
        [LIMIT],
        """\
x-mem: &mem 1g
services:
  bot:
    mem_limit: 120M
  api:
    mem_limit: *mem
""",
    ),
    (
        "alias list",
        """\
x-dns: &dns [a, b]
services:
  bot:
    dns: *dns
  api:
    dns: *dns
""",
        [Set(bot("dns", 2), "c")],
        """\
x-dns: &dns [a, b]
services:
  bot:
    dns:
      - a
      - b
      - c
  api:
    dns: *dns
""",
    ),
    (
        "alias in flow",
        """\
x-app: &app {image: x}
services: {bot: *app, api: *app}
""",
        [LIMIT],
        """\
x-app: &app {image: x}
services: {bot: {<<: *app, mem_limit: 120M}, api: *app}
""",
    ),
    (
        "merge key",
        """\
x-app: &app
  image: x
  mem_limit: 1g
services:
  bot:
    <<: *app
    restart: always
  api:
    <<: *app
""",
        [LIMIT],
        """\
x-app: &app
  image: x
  mem_limit: 1g
services:
  bot:
    <<: *app
    restart: always
    mem_limit: 120M
  api:
    <<: *app
""",
    ),
    (
        "merge list",
        """\
x-a: &a
  image: x
x-b: &b
  mem_limit: 1g
services:
  bot:
    <<: [*a, *b]
  api:
    !!merge <<: *b
    image: y
""",
        [LIMIT, Set(("services", "api", "mem_limit"), "120M")],
        """\
x-a: &a
  image: x
x-b: &b
  mem_limit: 1g
services:
  bot:
    <<: [*a, *b]
    mem_limit: 120M
  api:
    !!merge <<: *b
    image: y
    mem_limit: 120M
""",
    ),
    (
        "merge below",
        """\
x-app: &app
  environment: &env
    A: 1
    B: two
services:
  bot:
    <<: *app
    image: x
  api:
    <<: *app
""",
        [Set(bot("environment", "A"), "x")],
        """\
x-app: &app
  environment: &env
    A: 1
    B: two
services:
  bot:
    <<: *app
    image: x
    environment:
      <<: *env
      A: x
  api:
    <<: *app
""",
    ),
    (
        "merge below without anchor",
        """\
x-app: &app
  environment:
    A: 017
    B: "two"
    C: |
      three
      four
services:
  bot:
    <<: *app
    image: x
  api:
    <<: *app
""",
        [Set(bot("environment", "D"), "x")],
        (
            "x-app: &app\n"
            "  environment:\n"
            "    A: 017\n"
            '    B: "two"\n'
            "    C: |\n"
            "      three\n"
            "      four\n"
            "services:\n"
            "  bot:\n"
            "    <<: *app\n"
            "    image: x\n"
            "    environment:\n"
            "      A: 017\n"
            '      B: "two"\n'
            '      C: "three\\nfour\\n"\n'
            "      D: x\n"
            "  api:\n"
            "    <<: *app\n"
        ),
    ),
    (
        "anchored service",
        """\
services:
  bot: &bot # shared
    # image
    image: x
    volumes: [a]

  worker:
    <<: *bot
    command: run
""",
        [LIMIT],
        """\
services:
  bot: # shared
   <<: &bot
    # image
    image: x
    volumes: [a]
   mem_limit: 120M

  worker:
    <<: *bot
    command: run
""",
    ),
    (
        "anchored service with the limit",
        """\
services:
  bot: &bot
    image: x
    mem_limit: 1g
  worker:
    <<: *bot
    command: run
  copy: *bot
""",
        [LIMIT],
        """\
services:
  bot:
   <<: &bot
    image: x
    mem_limit: 1g
   mem_limit: 120M
  worker:
    <<: *bot
    command: run
  copy: *bot
""",
    ),
    (
        "anchored service that others override",
        """\
services:
  bot: &bot
    image: x
  worker:
    <<: *bot
    mem_limit: 1g
""",
        [LIMIT],
        """\
services:
  bot: &bot
    image: x
    mem_limit: 120M
  worker:
    <<: *bot
    mem_limit: 1g
""",
    ),
    (
        "anchored service at four spaces",
        """\
services:
    bot: &bot
        image: x
    worker:
        <<: *bot
""",
        [LIMIT],
        """\
services:
    bot:
      <<: &bot
        image: x
      mem_limit: 120M
    worker:
        <<: *bot
""",
    ),
    (
        "anchored flow service",
        """\
services:
  bot: &bot {image: x}
  worker: {<<: *bot, command: run}
""",
        [LIMIT],
        """\
services:
  bot: {<<: &bot {image: x}, mem_limit: 120M}
  worker: {<<: *bot, command: run}
""",
    ),
    (
        "anchored and nobody uses it",
        """\
services:
  bot: &bot
    image: x
""",
        [LIMIT],
        """\
services:
  bot: &bot
    image: x
    mem_limit: 120M
""",
    ),
    (
        "anchored scalar",
        """\
services:
  bot:
    image: x
    mem_limit: &mem 1g # all
  api:
    mem_limit: *mem
  web:
    mem_limit: *mem
""",
        [LIMIT],
        """\
services:
  bot:
    image: x
    mem_limit: 120M # all
  api:
    mem_limit: &mem 1g
  web:
    mem_limit: *mem
""",
    ),
    (
        "anchored list",
        """\
services:
  bot:
    dns: &dns
      - a
      - b
  api:
    dns: *dns
""",
        [Set(bot("dns", 2), "c")],
        """\
services:
  bot:
    dns:
      - a
      - b
      - c
  api:
    dns: &dns
      - a
      - b
""",
    ),
    (
        "anchored healthcheck",
        """\
services:
  redis: &redis
    image: r
    healthcheck: &hc
      test: [CMD, x]
      interval: 1s
  bot:
    healthcheck: *hc
""",
        [Set(("services", "redis", "healthcheck", "interval"), "9s")],
        """\
services:
  redis: &redis
    image: r
    healthcheck:
     <<: &hc
      test: [CMD, x]
      interval: 1s
     interval: 9s
  bot:
    healthcheck: *hc
""",
    ),
    (
        "x field",
        """\
x-limits: &l
  mem_limit: 1g
services:
  bot:
    image: x
    x-note: y
""",
        [Set(("x-limits", "mem_limit"), "2g"), Set(bot("x-note"), "z")],
        """\
x-limits: &l
  mem_limit: 2g
services:
  bot:
    image: x
    x-note: z
""",
    ),
    (
        "reset beside",
        """\
services:
  bot:
    ports: !reset []
    environment: !override {A: b}
""",
        [LIMIT, Set(bot("environment", "B"), "c")],
        """\
services:
  bot:
    ports: !reset []
    environment: !override {A: b, B: c}
    mem_limit: 120M
""",
    ),
    (
        "reset replaced",
        """\
services:
  bot:
    mem_limit: !reset null
    image: x
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M
    image: x
""",
    ),
    (
        "explicit key",
        """\
services:
  ? bot
  : image: x
    ? mem_limit
    : 1g
""",
        [LIMIT],
        """\
services:
  ? bot
  : image: x
    ? mem_limit
    : 120M
""",
    ),
    (
        "document marks",
        """\
%YAML 1.2
---
services:
  bot:
    image: x
...
""",
        [LIMIT],
        """\
%YAML 1.2
---
services:
  bot:
    image: x
    mem_limit: 120M
...
""",
    ),
    (
        "empty text",
        "",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "only comments",
        """\
# mine
""",
        [LIMIT],
        """\
# mine
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "only marks",
        """\
---
""",
        [LIMIT],
        """\
---
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "no services",
        """\
version: '3'
volumes:
  data:
""",
        [LIMIT],
        """\
version: '3'
volumes:
  data:
services:
  bot:
    mem_limit: 120M
""",
    ),
    (
        "services null",
        """\
services:
volumes:
  data:
""",
        [LIMIT],
        """\
services:
  bot:
    mem_limit: 120M
volumes:
  data:
""",
    ),
    (
        "tabs between",
        ("services:\n  bot:\n    mem_limit:\t1g\t# c\n"),
        [LIMIT],
        ("services:\n  bot:\n    mem_limit:\t120M\t# c\n"),
    ),
    (
        "list in list",
        """\
services:
  bot:
    x-list:
      - - a
        - b
      - k: v
        w: z
""",
        [Set(bot("x-list", 0, 2), "c"), Set(bot("x-list", 1, "new"), "y")],
        """\
services:
  bot:
    x-list:
      - - a
        - b
        - c
      - k: v
        w: z
        new: "y"
""",
    ),
    (
        "append quoted",
        """\
services:
  bot:
    command: ["redis-server", "--save", '']
    ports:
      - "80:80"
""",
        [Set(bot("command", 3), "--appendonly"), Set(bot("ports", 1), "81:81")],
        """\
services:
  bot:
    command: ["redis-server", "--save", '', "--appendonly"]
    ports:
      - "80:80"
      - "81:81"
""",
    ),
    (
        "list by the difference",
        """\
services:
  bot:
    environment:
      # first
      - A=1 # one
      # second
      - B=2
      - C=3 # three
""",
        [Set(bot("environment"), ["A=1", "B=5", "X=9", "C=3"])],
        """\
services:
  bot:
    environment:
      # first
      - A=1 # one
      # second
      - B=5
      - X=9
      - C=3 # three
""",
    ),
    (
        "mapping by the difference",
        """\
services:
  bot:
    environment:
      A: 1 # one
      B: 2
""",
        [Set(bot("environment"), {"A": 1, "C": "3"})],
        """\
services:
  bot:
    environment:
      A: 1 # one
      C: "3"
""",
    ),
    (
        "list for a string",
        """\
services:
  bot:
    command: run --fast # quick
    image: x
""",
        [Set(bot("command"), ["run", "--slow"])],
        """\
services:
  bot:
    command: # quick
      - run
      - --slow
    image: x
""",
    ),
    (
        "string for a list",
        """\
services:
  bot:
    command: # quick
      - run
      # why
      - --fast
    image: x
""",
        [Set(bot("command"), "run --slow")],
        """\
services:
  bot:
    command: run --slow # quick
    image: x
""",
    ),
    (
        "mapping for a list",
        """\
services:
  bot:
    environment:
    - A=1
    image: x
""",
        [Set(bot("environment"), {"A": "1"})],
        """\
services:
  bot:
    environment:
      A: "1"
    image: x
""",
    ),
    (
        "list of mappings",
        """\
services:
  bot:
    image: x
""",
        [Set(bot("volumes"), [{"type": "bind", "source": "a"}, {"type": "volume", "x": {"y": ["z"]}}])],
        """\
services:
  bot:
    image: x
    volumes:
      - type: bind
        source: a
      - type: volume
        x:
          "y":
            - z
""",
    ),
    (
        "delete",
        """\
services:
  bot:
    image: x
    # the limit
    mem_limit: 1g # high
    # next
    restart: always
""",
        [NO_LIMIT],
        """\
services:
  bot:
    image: x
    # the limit
    # next
    restart: always
""",
    ),
    (
        "delete subtree",
        """\
services:
  bot:
    deploy:
      # inside
      resources:
        limits:
          memory: 1g

    # after
    image: x
""",
        [Delete(("services", "bot", "deploy"))],
        """\
services:
  bot:

    # after
    image: x
""",
    ),
    (
        "delete last key",
        """\
services:
  bot:
    environment:
      A: 1 # one
    image: x
""",
        [Delete(("services", "bot", "environment", "A"))],
        """\
services:
  bot:
    environment: {}
    image: x
""",
    ),
    (
        "delete last in file",
        ("services:\n  bot:\n    image: x\n    mem_limit: 1g"),
        [NO_LIMIT],
        ("services:\n  bot:\n    image: x"),
    ),
    (
        "delete below kept blank lines",
        """\
services:
  bot:
    command: |+
      run

    mem_limit: 1g

  # the next
  api:
    image: x
""",
        [NO_LIMIT],
        """\
services:
  bot:
    command: |+
      run

  # the next
  api:
    image: x
""",
    ),
    (
        "delete item",
        """\
services:
  bot:
    ports:
      - 1:1
      # two
      - 2:2 # zwei
      - 3:3
""",
        [Delete(("services", "bot", "ports", 1))],
        """\
services:
  bot:
    ports:
      - 1:1
      # two
      - 3:3
""",
    ),
    (
        "delete first of a dash",
        """\
services:
  bot:
    volumes:
      - type: bind
        source: a
      - type: x
        # why
        source: b
""",
        [Delete(("services", "bot", "volumes", 0, "type")), Delete(("services", "bot", "volumes", 1, "type"))],
        """\
services:
  bot:
    volumes:
      - source: a
      -
        # why
        source: b
""",
    ),
    (
        "delete in flow",
        """\
services:
  bot: {image: x, mem_limit: 1g, restart: always}
  api: {mem_limit: 1g}
  web: [a, b]
""",
        [NO_LIMIT, Delete(("services", "api", "mem_limit")), Delete(("services", "web", 1))],
        """\
services:
  bot: {image: x, restart: always}
  api: {}
  web: [a]
""",
    ),
    (
        "delete flow lines",
        """\
services:
  bot: {
    image: x, # one
    mem_limit: 1g # two
  }
""",
        [NO_LIMIT],
        """\
services:
  bot: {
    image: x, # one
  }
""",
    ),
    (
        "delete shared",
        """\
services:
  bot: &bot
    image: x
    mem_limit: 1g
  worker:
    <<: *bot
    command: run
  copy: *bot
""",
        [NO_LIMIT],
        """\
services:
  bot: &bot
    image: x
  worker:
    <<: *bot
    command: run
    mem_limit: 1g
  copy:
    <<: *bot
    mem_limit: 1g
""",
    ),
    (
        "delete anchored",
        """\
services:
  bot:
    image: x
    healthcheck: &hc
      test: [CMD, x]
  api:
    healthcheck: *hc
  web:
    healthcheck: *hc
""",
        [Delete(("services", "bot", "healthcheck"))],
        """\
services:
  bot:
    image: x
  api:
    healthcheck: &hc
      test:
        - CMD
        - x
  web:
    healthcheck: *hc
""",
    ),
    (
        "delete nothing",
        """\
services:
  bot:
    image: x
""",
        [NO_LIMIT, Delete(("services", "no", "such"))],
        """\
services:
  bot:
    image: x
""",
    ),
    (
        "anchored service at one space",
        """\
services:
 bot: &b
  image: x
 worker:
  <<: *b
""",
        [LIMIT],
        """\
services:
 bot:
  image: x
  mem_limit: 120M
 worker:
  <<: &b
   image: x
""",
    ),
]
