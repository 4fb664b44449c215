"""Image towers: any timm model, any bands, weights from files and hubs, what is trained and what is kept."""

import os
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from threading import Thread

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sdm_ray.errors import InputError
from sdm_ray.models.config import TowerConfig
from sdm_ray.models.towers import ImageTower

TOWER = TowerConfig(bands=4, mean=(1000.0,), std=(500.0,), nodata_zero=True, dim=8)


def images(count: int = 4) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(1, 3000, (count, 4, 32, 32)).float()


@pytest.mark.parametrize("name", ["test_convnext2", "test_resnet", "resnet10t"])
def test_towers_take_any_bands_and_a_row_does_not_depend_on_its_batch(name):
    tower = ImageTower(TOWER.model_copy(update={"name": name})).train()
    reflectance = images()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in tower.modules())
    assert torch.allclose(tower(reflectance)[:1], tower(reflectance[:1]), atol=1e-4)


def test_group_norms_keep_the_scales_of_the_batch_norms_before_them(tmp_path):
    saved = timm.create_model("test_resnet", in_chans=4, num_classes=0).state_dict()
    torch.manual_seed(2)
    saved["bn1.weight"] = torch.rand_like(saved["bn1.weight"])
    save_file(saved, tmp_path / "w.safetensors")
    tower = ImageTower(TOWER.model_copy(update={"name": "test_resnet", "weights": str(tmp_path / "w.safetensors")}))
    norm = next(m for m in tower.backbone.get_submodule("bn1").modules() if isinstance(m, nn.GroupNorm))
    assert torch.equal(norm.weight, saved["bn1.weight"])


@pytest.mark.parametrize("name", ["test_convnext2", "test_resnet", "test_vit"])
def test_an_empty_batch_reaches_every_parameter(name):
    tower = ImageTower(TOWER.model_copy(update={"name": name, "size": 32 if name == "test_vit" else None}))
    embedded = tower(torch.zeros(0, 4, 32, 32))
    assert embedded.shape == (0, 8)
    embedded.sum().backward()
    assert all(parameter.grad is not None for parameter in tower.parameters())


def test_frozen_batch_norms_stay_frozen_in_training():
    tower = ImageTower(TOWER.model_copy(update={"name": "test_resnet", "norm": "frozen"})).train()
    before = {name: value.clone() for name, value in tower.state_dict().items() if "running" in name}
    tower(images())
    assert before
    assert all(torch.equal(value, tower.state_dict()[name]) for name, value in before.items())


def test_nodata_is_the_mean():
    tower = ImageTower(TOWER)
    mean = torch.full((1, 4, 32, 32), 1000.0)
    assert torch.allclose(tower(torch.zeros(1, 4, 32, 32)), tower(mean), atol=1e-5)


def saved_weights(folder: Path, bands: int = 3) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state = timm.create_model(TOWER.name, in_chans=bands, num_classes=0).state_dict()
    save_file(state, folder / "model.safetensors")
    return state


@pytest.mark.parametrize("bands", [3, 6])
def test_weights_come_from_a_local_file_and_fit_any_bands(tmp_path, bands):
    saved = saved_weights(tmp_path)
    torch.save(saved, tmp_path / "model.pth")
    update = {"bands": bands, "norm": "frozen", "mean": (0.0,), "std": (1.0,)}
    for name in ("model.safetensors", "model.pth"):
        tower = ImageTower(TOWER.model_copy(update={**update, "weights": str(tmp_path / name)}))
        found = tower.backbone.state_dict()
        assert torch.equal(found["stages.0.blocks.0.conv_dw.weight"], saved["stages.0.blocks.0.conv_dw.weight"])
        first = found["stem.0.weight"]
        grey = torch.ones(1, bands, 8, 8) * 2.0
        with torch.no_grad():  # what is the same in every band looks the same through more bands
            theirs = torch.nn.functional.conv2d(grey[:, :3], saved["stem.0.weight"], stride=2)
            assert torch.allclose(torch.nn.functional.conv2d(grey, first, stride=2), theirs, atol=1e-4)


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors lacks \d+ of its weights, first stem"):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "other.safetensors")}))
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"weights of .*broken\.safetensors do not fit \("):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "broken.safetensors")}))
    with pytest.raises(InputError, match=r"no weights at .*nothing\.safetensors"):
        ImageTower(TOWER.model_copy(update={"weights": str(tmp_path / "nothing.safetensors")}))


class Hub(SimpleHTTPRequestHandler):
    """The part of a model hub that one file is fetched by."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        owner, _, action, *_, name = self.path.strip("/").split("/")
        file = Path(self.directory) / name
        if (owner, action) != ("timm", "resolve") or "convnext" not in self.path or not file.exists():
            self.send_error(404)
            return
        self.send_response(200)
        for key, value in {"X-Repo-Commit": "1" * 40, "ETag": '"2"', "Content-Length": file.stat().st_size}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(file.read_bytes())

    def log_message(self, *_) -> None:
        pass


def test_weights_come_from_a_hub(tmp_path):
    (tmp_path / "served").mkdir()
    saved_weights(tmp_path / "served")
    # The hub's address is read when its client is first imported, so a process of its own is needed.
    script = """
        from sdm_ray.errors import InputError
        from sdm_ray.models.config import TowerConfig
        from sdm_ray.models.towers import ImageTower
        tower = ImageTower(TowerConfig(weights="hub", norm="frozen"))
        print(float(tower.backbone.state_dict()["stem.0.weight"].double().sum()))
        try:
            ImageTower(TowerConfig(name="test_resnet", weights="hub"))
        except InputError as error:
            print(error)
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=str(tmp_path / "served"))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        env = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run([sys.executable, "-c", dedent(script)], env=env, capture_output=True, text=True)
        server.shutdown()
    found, refused = done.stdout.splitlines()
    assert float(found) == pytest.approx(float(load_file(tmp_path / "served/model.safetensors")["stem.0.weight"].sum()))
    assert refused.startswith("tower test_resnet: its weights cannot be had from the hub (")


def trained(tower: ImageTower) -> set[str]:
    return {name for name, parameter in tower.backbone.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", ["test_convnext2", "test_resnet", "test_vit"])
def test_only_the_last_blocks_are_trained(name):
    config = TOWER.model_copy(update={"name": name, "size": 160 if name == "test_vit" else None})
    every = trained(ImageTower(config))
    sets = [trained(ImageTower(config.model_copy(update={"trained_blocks": count}))) for count in (0, 1, 2, 99)]
    assert sets[0] == set() and sets[3] == every
    assert sets[0] < sets[1] < sets[2] < every
    tower = ImageTower(config.model_copy(update={"trained_blocks": 0}))
    tower.train()(torch.ones(2, 4, 160, 160)).sum().backward()
    assert tower.project.weight.grad.abs().sum() > 0
    assert not tower.backbone.training


def gradients(config: TowerConfig, images: torch.Tensor) -> tuple[list[torch.Tensor], int]:
    """Of all parameters, and the bytes that were kept for the backward pass."""
    torch.manual_seed(0)
    tower, kept = ImageTower(config).train(), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        embedded = tower(images)
    similarity = embedded @ embedded.T  # every row's gradient depends on every other row
    torch.logsumexp(similarity, 1).sum().backward()
    return [parameter.grad for parameter in tower.parameters()], sum(kept.values())


@pytest.mark.parametrize("update", [{"chunk": 3}, {"recompute": True}])
def test_activations_computed_again_give_the_same_gradients_from_less_memory(update):
    many = images(10)
    expected, whole = gradients(TOWER, many)
    found, kept = gradients(TOWER.model_copy(update=update), many)
    assert kept < 0.7 * whole
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_an_unknown_tower_is_one_line():
    with pytest.raises(InputError, match="tower resnet_of_dreams: timm cannot build it"):
        ImageTower(TowerConfig(name="resnet_of_dreams"))
