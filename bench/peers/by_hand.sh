#!/bin/sh
# What people do by hand, put into a script: the same plan, typed in once and run again whenever something is changed.
# Its faults are real ones, found in such scripts: they are what the comparison is about. Not for use.
set -e
cd /opt/imagebot/deploy

# "backup"
cp docker-compose.prod.yml docker-compose.prod.yml.bak

# API workers 2 -> 1
sed -i 's/--workers 2/--workers 1/' docker-compose.prod.yml

# Redis: bigger than the container is going to be, and still allkeys-lru
sed -i 's/--maxmemory 512mb/--maxmemory 256mb/' docker-compose.prod.yml

# limits, below the line with the container's name
limit() {
    grep -A1 "container_name: $1\$" docker-compose.prod.yml | grep -q mem_limit ||
        sed -i "s/^    container_name: $1\$/&\n    mem_limit: $2/" docker-compose.prod.yml
}
limit imagebot-bot 120m
limit imagebot-api 150m
limit imagebot-worker-image 200m
limit imagebot-redis 128m

# kernel
echo "vm.swappiness=10" >> /etc/sysctl.conf
echo "vm.overcommit_memory=1" >> /etc/sysctl.conf
sysctl -p > /dev/null

# Docker: cap the logs
cat > /etc/docker/daemon.json <<'JSON'
{"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}
JSON
systemctl restart docker

docker compose -f docker-compose.prod.yml up -d
