"""What lies in `cluster/` is held to the schemas and rules of what reads it: Kubernetes, KubeRay, Ray, Docker."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import ray.autoscaler
import yaml

from sdm_ray.jobs import JOBS

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMA = json.loads((Path(__file__).parent / "ray_io_v1.json").read_text())
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
KUBERNETES = "1.31"
TOOLS = Path(sys.executable).parent
SECRET = re.compile(r"(?i)(password|token|secret_access_key|api_key)[ \t]*[:=][ \t]*[\"']?[a-z0-9+/]{8,}")
MANIFESTS = [
    (file.name, document)
    for file in sorted((CLUSTER / "kubernetes").glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for document in yaml.safe_load_all(file.read_text())
]


def check_ray(document: dict) -> None:
    """Hold a RayCluster or RayJob to the keys of its kind, and its pods to the schemas of Kubernetes."""
    part = {"RayCluster": "cluster", "RayJob": "job"}[document["kind"]]
    jsonschema.validate(document["spec"], {"$ref": f"#/definitions/{part}", "definitions": SCHEMA["definitions"]})
    cluster = document["spec"] if part == "cluster" else document["spec"].get("rayClusterSpec")
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]] if cluster else []:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": group["template"]["spec"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def rayjobs():
    spec = importlib.util.spec_from_file_location("rayjob", CLUSTER / "kubernetes" / "rayjob.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rayjob


def raycluster() -> dict:
    return yaml.safe_load((CLUSTER / "kubernetes" / "raycluster.yaml").read_text())["spec"]


def environment(container: dict) -> dict:
    return {each["name"]: each.get("value") for each in container["env"]}


@pytest.mark.parametrize(("name", "document"), MANIFESTS, ids=[f"{n}-{d['kind']}" for n, d in MANIFESTS])
def test_manifests_fit_their_schemas(name, document):
    if document["apiVersion"] == "ray.io/v1":
        check_ray(document)
    else:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_schemas_refuse_what_is_wrong():
    wrong = {"kind": "RayCluster", "spec": raycluster()}
    wrong["spec"]["workerGroupSpecs"][0]["minReplica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="minReplica"):
        check_ray(wrong)
    wrong = {"kind": "RayCluster", "spec": raycluster()}
    wrong["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        check_ray(wrong)


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("image", [None, "registry/sdm-ray:1"])
def test_there_is_a_rayjob_for_every_job(name, image):
    made = rayjobs()(name, f"/data/configs/my europe/{name}.yaml", ["tile=512"], image)
    check_ray(made)
    assert made["spec"]["entrypoint"] == f"sdm-ray {name} '/data/configs/my europe/{name}.yaml' tile=512"
    if image:
        images = re.findall(r"'image': '([^']+)'", str(made))
        assert len(images) == 3 and set(images) == {image} and made["spec"]["backoffLimit"] > 0


def test_the_head_does_no_work_and_workers_start_from_none_and_may_be_spot():
    spec = raycluster()
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = {each["groupName"]: each for each in spec["workerGroupSpecs"]}
    assert all(each["minReplicas"] == each["replicas"] == 0 < each["maxReplicas"] for each in groups.values())
    limits = groups["gpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    for group in groups.values():
        keys = {each["key"] for each in group["template"]["spec"]["tolerations"]}
        assert "cloud.google.com/gke-spot" in keys
    assert spec["authOptions"]["mode"] == "token" and spec["autoscalerOptions"]["version"] == "v2"


def test_every_pod_runs_without_root_and_sees_the_same_places():
    spec = raycluster()
    containers = []
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        containers += pod["containers"]
    assert len({json.dumps([each["env"], each["envFrom"], each["volumeMounts"]]) for each in containers}) == 1
    assert environment(containers[0])["SDM_RAY_RUNS"].startswith(containers[0]["volumeMounts"][0]["mountPath"])
    assert environment(containers[0])["MLFLOW_TRACKING_URI"] == "http://sdm-ray-mlflow:5000"


def test_shared_memory_holds_the_object_store_that_ray_makes_of_a_pods_memory():
    spec = raycluster()
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (shared,) = (each["emptyDir"]["sizeLimit"] for each in pod["volumes"] if each["name"] == "shm")
        memory = pod["containers"][0]["resources"]["limits"]["memory"]
        assert int(shared.removesuffix("Gi")) >= 0.3 * int(memory.removesuffix("Gi"))  # on less Ray takes the disk


def test_secrets_are_named_and_never_written():
    for file in CLUSTER.rglob("*"):
        if file.is_file() and file.suffix != ".json":
            text = file.read_text()
            assert "kind: Secret" not in text, file
            assert not re.search(SECRET, text), file


def test_versions_agree_with_the_package_and_what_its_tests_passed_with():
    pins = dict(line.split("==") for line in (CLUSTER / "constraints.txt").read_text().split())
    assert raycluster()["rayVersion"] == pins["ray"]
    assert {"torch", "mlflow", "s3fs", "gcsfs", "psycopg2-binary", "boto3", "zarr"} <= pins.keys()
    named = re.findall(
        r"sdm-ray:(\d[\w.]*)", "".join(each.read_text() for each in CLUSTER.rglob("*") if each.is_file())
    )
    assert named and set(named) == {VERSION}
    kustomization = yaml.safe_load((CLUSTER / "kubernetes" / "kustomization.yaml").read_text())
    assert kustomization["images"][0]["newTag"] == f"{VERSION}-cuda"
    assert all((CLUSTER / "kubernetes" / name).exists() for name in kustomization["resources"])


def test_the_container_file_passes_the_linter():
    found = subprocess.run(
        [TOOLS / "hadolint", "Dockerfile"], cwd=CLUSTER / "container", capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


def test_both_images_run_without_root_from_pinned_versions_with_the_cloud_extras():
    text = (CLUSTER / "container" / "Dockerfile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    stages = {part.split()[3]: part for part in re.split(r"^(?=FROM )", text, flags=re.M)[1:]}
    for name in ("cpu", "cuda"):
        assert re.search(r"^USER 1000$", stages[name], re.M)
        (wanted,) = re.findall(r'-c cluster/constraints\.txt "\.\[(.+)\]"', stages[name])
        assert {"cloud", "ebv"} <= set(wanted.split(",")) <= extras.keys()
        for source in re.findall(r"^COPY (.+) \S+$", stages[name], re.M):
            assert all((ROOT / each).exists() for each in source.split())
    kept = (CLUSTER / "container" / "Dockerfile.dockerignore").read_text().split()
    copied = {each for source in re.findall(r"^COPY (.+) \S+$", text, re.M) for each in source.split()}
    assert copied == {each.removeprefix("!") for each in kept if each.startswith("!")}


def test_what_ray_up_reads_fits_rays_own_schema():
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    config = yaml.safe_load((CLUSTER / "ray-up" / "aws.yaml").read_text())
    jsonschema.validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]
    assert config["available_node_types"]["head"]["resources"]["CPU"] == 0
    assert all("IamInstanceProfile" in kind["node_config"] for kind in config["available_node_types"].values())
    assert {"rsync", "openssh-client"} <= set((CLUSTER / "container" / "Dockerfile").read_text().split())


def test_the_mlflow_server_keeps_runs_in_a_database_and_serves_files():
    services = yaml.safe_load((CLUSTER / "mlflow" / "compose.yaml").read_text())["services"]
    command = " ".join(services["server"]["command"])
    assert "--backend-store-uri=postgresql://" in command and "--serve-artifacts" in command
    assert "--allowed-hosts=${MLFLOW_HOSTS:?" in command  # without, MLflow refuses whoever calls it by a name
    (volume,) = services["server"]["volumes"]
    container = (CLUSTER / "container" / "Dockerfile").read_text()
    assert f"--owner=ray --group=ray {volume.split(':')[1]}" in container  # a new volume belongs to who owns it there
    assert services["server"]["depends_on"]["database"]["condition"] == "service_healthy"
