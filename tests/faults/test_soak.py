"""What `soak.py` counts, without its jobs."""

from faults.soak import Left, checkpoints, continued_at, orphans


def test_files_that_a_job_should_have_removed_are_found(tmp_path):
    for name in (
        "0/map.zarr/artefact.json",
        "0/map.zarr/ledger/a.json.tmp",
        ".train/model-1/checkpoint_2026-1/state.pt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "1" / ".train").mkdir(parents=True)  # an empty folder is no file that was left behind
    assert [each.name for each in orphans(tmp_path, training=True)] == ["a.json.tmp"]
    assert sorted(each.name for each in orphans(tmp_path)) == ["a.json.tmp", "state.pt"]
    assert checkpoints(tmp_path) == ["checkpoint_2026-1"]


def test_a_training_that_says_nothing_of_a_step_began_anew():
    assert continued_at("  400 surveys, 6 species\nall: continues at step 42 of 600\n  all: step 48: loss 0.4") == 42
    assert continued_at("  400 surveys, 6 species\n  all: step 6: loss 0.4") == 0


def test_one_actor_or_file_is_something():
    assert Left(0, 0, 0.0, 0).nothing
    assert not Left(1, 0, 0.0, 0).nothing and not Left(0, 0, 0.0, 1).nothing and not Left(0, 0, 7.0, 0).nothing
