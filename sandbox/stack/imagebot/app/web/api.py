# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

import os

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from pydantic import BaseModel
from redis import Redis
from rq import Queue
from rq.job import Job

from app.config import MEDIA_DIR, QUEUE_NAME, REDIS_URL, setup_logging
from app.db import init_db, log_usage, usage_stats
from app.services import llm

setup_logging("api")
init_db()

app = FastAPI(title="Image bot API")
redis = Redis.from_url(REDIS_URL)
queue = Queue(QUEUE_NAME, connection=redis)


class JobRequest(BaseModel):
    chat_id: int = 0
    prompt: str


class ChatRequest(BaseModel):
    chat_id: int = 0
    text: str


@app.get("/health")
async def health():
    redis.ping()
    return {"status": "ok"}


@app.get("/api/stats")
async def stats():
    data = usage_stats()
    data["queue"] = len(queue)
    data["running"] = queue.started_job_registry.count
    data["requests"] = {k.decode(): int(v) for k, v in redis.hgetall("stats:requests").items()}
    return data


@app.post("/api/jobs")
def create_job(request: JobRequest):
    job = queue.enqueue("app.worker.tasks.generate_image", request.chat_id, request.prompt, job_timeout=600)
    return {"id": job.id, "position": len(queue)}


@app.get("/api/jobs/{job_id}")
def get_job(job_id: str):
    try:
        job = Job.fetch(job_id, connection=redis)
    except Exception:
        raise HTTPException(404, "no such job") from None
    return {"id": job.id, "status": job.get_status(), "result": job.return_value()}


@app.get("/api/media")
async def media(chat_id: int = 0):
    files = []
    for folder, _unused, names in os.walk(MEDIA_DIR):
        if chat_id and os.path.basename(folder) != str(chat_id):
            continue
        for name in names:
            path = os.path.join(folder, name)
            stat = os.stat(path)
            files.append({"path": os.path.relpath(path, MEDIA_DIR), "size": stat.st_size, "time": stat.st_mtime})
    files.sort(key=lambda f: f["time"], reverse=True)
    return {"total": len(files), "files": files[:200]}


@app.get("/api/media/{path:path}")
def get_media(path: str):
    full = os.path.realpath(os.path.join(MEDIA_DIR, path))
    if not full.startswith(MEDIA_DIR + "/") or not os.path.exists(full):
        raise HTTPException(404, "no such file")
    return FileResponse(full)


@app.post("/api/chat")
def chat(request: ChatRequest):
    log_usage(request.chat_id, "api_chat", request.text)
    return {"answer": llm.answer_sync(request.text)}
