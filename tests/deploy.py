"""What docker/ says about the daemon is true of it: names of metrics, PromQL, YAML, the unit, settings.

Usage: deploy.py SOURCE ADDERD ADDER. Parts whose tools are not here are told as skipped.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

SOURCE, ADDERD, ADDER = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
DOCKER = SOURCE / "docker"
SUFFIXES = ("_bucket", "_sum", "_count")
PATIENCE_S = 60


def run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def metrics_of(folder):
    """What a daemon that has scored says at /metrics."""
    data = SOURCE / "tests/data/d64"
    url = f"ipc://{folder}/socket"
    run(ADDER, "fit", "--mean", data / "ref_mean.f32.npy", "--covariance",
        data / "ref_cov.f32.npy", "--out", folder / "reference")
    with open(folder / "log", "w") as log:
        daemon = subprocess.Popen([ADDERD, "--reference", str(folder / "reference"), "--listen", url,
                                   "--admin", "0", "--threshold", "0", "--min-fill", "1"], stderr=log)
    try:
        run(ADDER, "replay", "--connect", url, "--account", "a", "--embeddings",
            data / "src/atk_cifar100.emb.f16.npy", "--classes", data / "src/atk_cifar100.pred.u8.npy")
        deadline = time.monotonic() + PATIENCE_S
        while not (port := re.search(r"127\.0\.0\.1:(\d+)", (folder / "log").read_text())):
            assert time.monotonic() < deadline, (folder / "log").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics") as reply:
            return reply.read().decode()
    finally:
        daemon.terminate()
        assert daemon.wait() == 0


def base(name, names):
    for suffix in SUFFIXES:
        if name not in names and name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def check_names(expressions, text):
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.M))
    used = {base(n, names) for e in expressions for n in re.findall(r"\b(?:adder|process)_\w+", e)}
    assert used <= names, f"not in /metrics: {sorted(used - names)}"
    labels = set(re.findall(r'[{,](\w+)="', text)) | {"le", "job", "instance"}
    for e in expressions:
        for group in re.findall(r"(?:by|ignoring) \(([^)]*)\)", e) + re.findall(r"\{(\w+)=", e):
            for label in group.replace(" ", "").split(","):
                assert label in labels, f"no such label {label}: {e}"
    unseen = {n for n in names if n.startswith("adder_")} - used
    print(f"metrics: {len(used)} used by dashboard and alerts, {len(unseen)} not: {sorted(unseen)}")


def check_promql(expressions, folder):
    if shutil.which("promtool") is None:
        print("skipped: no promtool")
        return
    shutil.copy(DOCKER / "prometheus.yml", folder)
    shutil.copy(DOCKER / "alerts.yml", folder)
    print(run("promtool", "check", "config", folder / "prometheus.yml").strip())
    rules = [{"record": f"panel:{i}", "expr": e} for i, e in enumerate(expressions)]
    (folder / "panels.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    print(run("promtool", "check", "rules", folder / "panels.json").strip())


def check_yaml():
    try:
        import yaml
    except ImportError:
        print("skipped: no yaml for python3")
        return
    files = [*DOCKER.rglob("*.yaml"), *DOCKER.rglob("*.yml")]
    documents = {f.name: list(yaml.safe_load_all(f.read_text())) for f in files}
    for service in documents["compose.yaml"][0]["services"].values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (DOCKER / volume.split(":")[0]).exists(), volume
    config, workload = documents["kubernetes.yaml"]
    spec = workload["spec"]["template"]["spec"]
    adderd = next(c for c in spec["containers"] if c["name"] == "adderd")
    volumes = {v["name"] for v in spec["volumes"]}
    volumes |= {v["metadata"]["name"] for v in workload["spec"]["volumeClaimTemplates"]}
    for container in spec["containers"]:
        assert {m["name"] for m in container["volumeMounts"]} <= volumes
    ports = {p["name"] for p in adderd["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert adderd[probe]["httpGet"]["port"] in ports
    settings = run(ADDERD, "--help")
    for text in (config["data"]["adderd.yaml"], (DOCKER / "adderd.yaml").read_text()):
        house = yaml.safe_load(text)
        for name in {*house, *(n for m in house["models"] for n in m)} - {"models"}:
            assert f"--{name}" in settings, f"no such setting: {name}"
    print(f"yaml: {len(files)} files")


def check_unit(folder):
    unit = (DOCKER / "adderd.service.in").read_text()
    command = re.search(r"^ExecStart=@ADDER_BINDIR@/adderd (.*)$", unit, re.M)[1]
    assert "--config" in run(ADDERD, "--help") and command.startswith("--config ")
    example = (DOCKER / "adderd.yaml").read_text()
    assert re.search(r"^ipc-mode: 0660\b", example, re.M), "the unit's group could not connect"
    if shutil.which("systemd-analyze") is None:
        print("skipped: no systemd-analyze")
        return
    path = folder / "adderd.service"
    unit = unit.replace("@ADDER_BINDIR@", str(pathlib.Path(ADDERD).parent))
    path.write_text(unit.replace("@CMAKE_INSTALL_PREFIX@", "/usr"))
    print(run("systemd-analyze", "verify", "--man=no", path).strip() or "systemd-analyze verify: good")
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", path],
                          capture_output=True, text=True)
    print(done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr.strip())
    assert done.returncode == 0, "exposure above 2.0"


def main():
    with tempfile.TemporaryDirectory(prefix="adder-") as name:
        folder = pathlib.Path(name)
        dashboard = json.loads((DOCKER / "grafana/adder.json").read_text())
        panels = [t["expr"] for p in dashboard["panels"] for t in p["targets"]]
        alerts = re.findall(r"^ +expr: (.*)$", (DOCKER / "alerts.yml").read_text(), re.M)
        assert panels and alerts
        check_names(panels + alerts, metrics_of(folder))
        check_promql(panels, folder)
        check_yaml()
        check_unit(folder)


main()
