#!/usr/bin/env bash
# Serving beside nginx: 64 clients at once, for a raw and a delta-coded model, in turns in one run.
#   benches/serve.sh STORE RAW DELTA [SECONDS [ROUNDS]]
# RAW and DELTA are models of STORE of one file each; the first should be stored raw, the second as a
# difference. Needs nginx and wrk, and the tool's release build. Prints bytes a second, the ratios, and
# the memory of the server.
set -euo pipefail
store=$(realpath "$1") raw=$2 delta=$3 seconds=${4:-8} rounds=${5:-5}
tool="$(cd "$(dirname "$0")/.." && pwd)/target/release/mgit-db"
folder=$(mktemp -d)
trap 'kill $server $nginx 2>/dev/null; wait; rm -rf "$folder"' EXIT
mkdir "$folder/www"
chmod 755 "$folder" "$folder/www"
for model in "$raw" "$delta"; do
    "$tool" export "$store" "$model" - >"$folder/www/${model//\//.}"
done
cat >"$folder/nginx.conf" <<EOF
worker_processes 2; daemon off; pid $folder/pid; error_log $folder/error.log;
events { worker_connections 1024; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
    server { listen 127.0.0.1:18431; root $folder/www; }
}
EOF
nginx -c "$folder/nginx.conf" 2>/dev/null &
nginx=$!
"$tool" serve "$store" --listen 127.0.0.1:18430 >"$folder/told" &
server=$!
sleep 1
memory() { awk '/RssAnon/ { print int($2 / 1024) }' "/proc/$server/status"; }
# Megabytes a second that 64 clients get together.
load() { wrk -t2 -c64 -d"${seconds}s" --timeout 60s "$1" | awk '/Transfer/ { v = $2; u = v; sub(/[0-9.]+/, "", u); sub(/[A-Z]+/, "", v); print v * (u == "GB" ? 1024 : u == "KB" ? 1 / 1024 : 1) }'; }
# The same model decoded by the engine alone, on all cores, and thrown away.
decode() {
    local begin end
    begin=$(date +%s%N)
    "$tool" export "$store" "$delta" - >/dev/null
    end=$(date +%s%N)
    stat -c %s "$folder/www/${delta//\//.}" | awk -v ns=$((end - begin)) '{ print $1 / 1048576 / (ns / 1e9) }'
}
echo "$(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2), $(nproc) cores; wrk: 64 connections, 2 threads; MB/s"
idle=$(memory)
ours=http://127.0.0.1:18430
echo "nginx raw delta engine raw/nginx delta/engine"
for _ in $(seq "$rounds"); do
    a=$(load "http://127.0.0.1:18431/${raw//\//.}")
    b=$(load "$ours/$raw/resolve/main/model.safetensors")
    c=$(load "$ours/$delta/resolve/main/model.safetensors")
    d=$(decode)
    echo "$a $b $c $d" | awk '{ printf "%d %d %d %d %.2f %.2f\n", $1, $2, $3, $4, $2 / $1, $3 / $4 }'
done
echo "memory above idle: $(($(memory) - idle)) MiB"
