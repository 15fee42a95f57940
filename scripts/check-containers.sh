#!/usr/bin/env bash
# Prove docker-compose.yml and the Dockerfiles on a real Docker Engine, from nothing and without a trace.
#
# For root on Debian 12. It installs Debian's docker.io, docker-compose and debootstrap where missing and
# runs a dockerd of its own beside any other. Images of other projects (python, prometheus, alertmanager,
# postgres) are stood in for by Debian's packages under the same names; Grafana by an empty answer, since
# Debian has none. So this proves our images, the compose file and how the parts meet, not the real
# third-party images.
#
# KEEP=1 leaves the stack running at the end until Enter is pressed.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly BASE=python:3.11-slim-bookworm
readonly ROOTFS=.cache/containers/rootfs-bookworm.tar
readonly SERVICES="exporter prometheus alertmanager postgres detector grafana"
readonly HEALTHY_TIMEOUT_S=240 SCORES_TIMEOUT_S=240 ALERT_TIMEOUT_S=60 STOP_LIMIT_S=10
WORK=
DOCKERD_PID=
IP_FORWARD=$(cat /proc/sys/net/ipv4/ip_forward)
STARTED=$SECONDS

say() { printf '%4d s  %s\n' $((SECONDS - STARTED)) "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

main() {
    [ "$(id -u)" = 0 ] || fail "this needs root: it runs a Docker Engine"
    install_packages
    WORK=$(mktemp -d /tmp/mda-containers.XXXXXX)
    trap cleanup EXIT
    trap 'exit 130' INT TERM
    make_rootfs
    start_dockerd
    make_base
    make_standins
    prepare_compose
    compose config > "$WORK/parsed.yml" && say "docker-compose.yml parses with $(docker-compose --version)"
    compose build > "$WORK/build.log" 2>&1 || { tail -40 "$WORK/build.log" >&2; fail "the images do not build"; }
    say "built $(image_size exporter) exporter, $(image_size detector) detector"
    bring_up
    check_isolation
    check_metrics
    check_scores
    check_alert
    check_stop
    bring_up
    alert_is_stored || fail "the alert is gone after a restart"
    say "after a restart with the same volumes the alert is still there"
    [ -z "${KEEP:-}" ] || { say "urls: $(env | grep _PORT= | tr '\n' ' '); Enter ends it"; read -r _; }
    say "all passed"
}

install_packages() {
    local missing=()
    for each in dockerd:docker.io docker-compose:docker-compose debootstrap:debootstrap curl:curl; do
        command -v "${each%%:*}" > /dev/null || missing+=("${each##*:}")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${missing[*]}"
        apt-get update -qq
        # RUNLEVEL=1: the package starts no service.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends \
            "${missing[@]}" > /dev/null
    fi
}

# A minimal Debian with Python, made once.
make_rootfs() {
    [ -s "$ROOTFS" ] && return
    say "making a minimal Debian with debootstrap (about a minute)"
    mkdir -p "$(dirname "$ROOTFS")"
    local root=$WORK/rootfs
    debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates \
        bookworm "$root" > "$WORK/debootstrap.log" 2>&1 || { tail "$WORK/debootstrap.log" >&2; fail debootstrap; }
    # The paths of the python image.
    ln -s /usr/bin/python3 "$root/usr/local/bin/python"
    ln -s /usr/bin/python3 "$root/usr/local/bin/python3"
    ln -s /usr/bin/pip3 "$root/usr/local/bin/pip"
    rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
    rm -rf "$root"/var/cache/apt/archives/*.deb
    # This machine's certificates and package sources: builds fetch as it does.
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    tar -C "$root" -c . > "$ROOTFS.new"
    mv "$ROOTFS.new" "$ROOTFS"
    rm -rf "$root"
}

start_dockerd() {
    export DOCKER_HOST=unix://$WORK/docker.sock
    dockerd --data-root="$WORK/data" --exec-root="$WORK/exec" -H "$DOCKER_HOST" \
        --pidfile="$WORK/docker.pid" --iptables=false --ip6tables=false --bridge=none \
        > "$WORK/dockerd.log" 2>&1 &
    DOCKERD_PID=$!
    await 30 "dockerd" docker info
    say "dockerd $(docker info --format '{{.ServerVersion}} on {{.Driver}}')"
}

make_base() {
    docker import -c 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        -c 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' \
        -c 'CMD ["python3"]' "$ROOTFS" $BASE > /dev/null
}

make_standins() {
    local service image
    for service in prometheus alertmanager postgres grafana; do
        image=$(sed -n "/^  $service:/,/^  [a-z]/s/^    image: //p" docker-compose.yml)
        DOCKER_BUILDKIT=0 docker build -q --network=host --build-arg BASE=$BASE --target "$service" \
            -t "$image" docker/standin > "$WORK/standin.log" 2>&1 \
            || { tail -40 "$WORK/standin.log" >&2; fail "no stand-in for $service"; }
        say "stand-in for $image"
    done
}

# What only this machine needs: builds on the host's network, free ports, no propagation of mounts.
prepare_compose() {
    cat > "$WORK/override.yml" <<'YAML'
version: "3.8"
services:
  render: {build: {network: host}}
  exporter:
    build: {network: host}
    volumes: [{type: bind, source: /, target: /host, read_only: true}]
YAML
    local names=(EXPORTER PROMETHEUS ALERTMANAGER DETECTOR GRAFANA) ports index
    read -r -a ports < <(python3 -c '
import contextlib, socket
with contextlib.ExitStack() as kept:
    probes = [kept.enter_context(socket.socket()) for _ in range(5)]
    [probe.bind(("127.0.0.1", 0)) for probe in probes]
    print(*(probe.getsockname()[1] for probe in probes))')
    for index in "${!names[@]}"; do export "${names[$index]}_PORT=${ports[$index]}"; done
    export ENV_FILE=.env.example
}

compose() {
    DOCKER_BUILDKIT=0 docker-compose --project-directory . -p mdacheck \
        -f docker-compose.yml -f "$WORK/override.yml" "$@"
}

image_size() { echo $(($(docker image inspect -f '{{.Size}}' "monitor-drift-agent/$1") / 1000000)) MB; }

container() { compose ps -q "$1"; }

bring_up() {
    compose up -d > "$WORK/up.log" 2>&1 || { tail -30 "$WORK/up.log" >&2; show_logs; fail "compose up"; }
    local service
    for service in $SERVICES; do
        await $HEALTHY_TIMEOUT_S "$service to be healthy" is_healthy "$service"
    done
    say "all healthy"
}

is_healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }

show_logs() { compose logs --no-color --tail=25 >&2 || true; }

# await SECONDS WHAT COMMAND...: run COMMAND until it succeeds.
await() {
    local limit=$1 what=$2 deadline=$((SECONDS + $1))
    shift 2
    until "$@" > /dev/null 2>&1; do
        if [ $SECONDS -ge $deadline ]; then
            [ -z "$DOCKERD_PID" ] || show_logs
            fail "waited $limit s for $what"
        fi
        sleep 1
    done
}

# What the kernel says of each service's first process.
check_isolation() {
    local service id status
    for service in $SERVICES; do
        id=$(container "$service")
        status=$(cat "/proc/$(docker inspect -f '{{.State.Pid}}' "$id")/status")
        grep -Eq '^Uid:\s+[1-9][0-9]*\s' <<< "$status" || fail "$service runs as root"
        grep -Eq '^CapEff:\s+0+$' <<< "$status" || fail "$service has capabilities"
        grep -Eq '^CapBnd:\s+0+$' <<< "$status" || fail "$service could gain capabilities"
        grep -Eq '^NoNewPrivs:\s+1$' <<< "$status" || fail "$service may gain privileges"
        if docker exec "$id" sh -c ': > /probe' 2> /dev/null || docker exec -u 0 "$id" sh -c ': > /probe' 2> /dev/null; then
            fail "$service can write to its root file system"
        fi
        docker port "$id" | grep -v ' -> 127.0.0.1:' && fail "$service is open to the network"
    done
    say "each of $SERVICES: uid not 0, no capabilities, no new privileges, read-only root, loopback ports"
}

query_has_data() {
    curl -fsG "http://127.0.0.1:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1" \
        | python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin)["data"]["result"])'
}

check_metrics() {
    await 60 "host metrics in Prometheus" query_has_data 'up{job="node"} == 1 and on () count(node_cpu_seconds_total) > 0'
    await 60 "the other parts in Prometheus" query_has_data 'count(up{job=~"detector|alertmanager|prometheus"} == 1) == 3'
    say "the exporter's, detector's, Alertmanager's and Prometheus' own metrics are in Prometheus"
}

check_scores() {
    await $SCORES_TIMEOUT_S "scores in Prometheus" query_has_data 'anomaly_score{query="host_cpu"}'
    say "the detector's scores are in Prometheus"
}

alert_is_stored() {
    local token
    token=$(docker exec "$(container detector)" cat /rendered/secrets/api_token)
    curl -fs -H "Authorization: Bearer $token" "http://127.0.0.1:$DETECTOR_PORT/api/alerts" | grep -q ContainerCheck
}

check_alert() {
    curl -fs -H 'Content-Type: application/json' "http://127.0.0.1:$ALERTMANAGER_PORT/api/v2/alerts" \
        -d '[{"labels": {"alertname": "ContainerCheck", "severity": "info"}}]'
    await $ALERT_TIMEOUT_S "the alert in PostgreSQL" alert_is_stored
    say "an alert posted to Alertmanager is in PostgreSQL and in GET /api/alerts"
}

check_stop() {
    local service id began code
    for service in grafana detector exporter alertmanager prometheus postgres; do
        id=$(container "$service")
        began=$SECONDS
        docker stop -t $STOP_LIMIT_S "$id" > /dev/null
        code=$(docker inspect -f '{{.State.ExitCode}}' "$id")
        [ "$code" != 137 ] || fail "$service had to be killed after $STOP_LIMIT_S s"
        say "$service stopped in $((SECONDS - began)) s with exit code $code"
    done
    compose down > /dev/null 2>&1
}

cleanup() {
    local code=$?
    set +e
    trap - INT TERM
    if [ -n "$DOCKERD_PID" ]; then
        [ ! -e "$WORK/override.yml" ] || compose down -v --timeout 5 > /dev/null 2>&1
        kill "$DOCKERD_PID" 2> /dev/null
        wait "$DOCKERD_PID" 2> /dev/null
    fi
    echo "$IP_FORWARD" > /proc/sys/net/ipv4/ip_forward
    awk -v work="$WORK/" 'index($2, work) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n1 umount
    rm -rf "$WORK"
    exit $code
}

main "$@"
