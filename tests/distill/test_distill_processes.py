"""CDM on two processes: the same as on one with the same global batch, wrapped in DDP or sharded."""

import datetime
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from toy_denoisers import assert_all_close, transformer_cdm, transformer_prompts

from train.methods.cdm import CDM
from train.sharding import full, make_mesh, shard_network
from vision.flow.draws import Draws

BATCH = 4
OPTIONS = {"anchor_aware": True, "fake_merge": 0.9, "fake_on_off_trajectory": 0.5}
# Inner sigmas are drawn by process: a fixed grid alone is the same on one process and on two.
FIXED = {**OPTIONS, "fixed_grid": [1.0, 0.75, 0.5, 0.25]}


def weights_after(method: CDM, rank: int, world_size: int) -> list[Tensor]:
    """Trained weights after four iterations of a global batch of 4."""
    plain = [getattr(network, "module", network) for network in method.networks.values()]
    size = BATCH // world_size
    rows = slice(rank * size, (rank + 1) * size)
    optimizers = {n: torch.optim.SGD(network.parameters(), lr=1e-2) for n, network in method.networks.items()}
    for step in range(4):
        batch = {name: value[rows] for name, value in transformer_prompts(BATCH).items()}
        draws = Draws(7, step, rank * size, BATCH, rank)
        for name, thunk in method.losses(batch, draws).items():
            optimizers[name].zero_grad()
            thunk().value.backward()
            optimizers[name].step()
            method.updated(name)
    return [full(p.detach()).clone() for network in plain for p in network.parameters()]


def shard(method: CDM) -> CDM:
    mesh = make_mesh(torch.device("cpu"))
    for network in (*method.networks.values(), *method.frozen.values()):
        shard_network(network, mesh, bf16=False)
    return method


def wrap(method: CDM) -> CDM:
    method.networks = {n: DistributedDataParallel(network) for n, network in method.networks.items()}
    return method


def run_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    # A process that is called less often than the other leaves it waiting: let it fail soon.
    limit = datetime.timedelta(seconds=60)
    address = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2, timeout=limit)
    results = {
        "ddp": weights_after(wrap(transformer_cdm(**FIXED)), rank, 2),
        "sharded": weights_after(shard(transformer_cdm(**FIXED)), rank, 2),
        "random": weights_after(shard(transformer_cdm(**OPTIONS)), rank, 2),
    }
    dist.barrier()
    dist.destroy_process_group()
    for name, tensors in results.items():
        for i, tensor in enumerate(tensors):
            tensor.numpy().tofile(f"{folder}/{name}-{i}-{rank}")


def test_two_processes_follow_one(tmp_path: Path):
    expected = weights_after(transformer_cdm(**FIXED), 0, 1)
    mp.spawn(run_process, (str(tmp_path),), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    for name in ("ddp", "sharded", "random"):
        both = [
            [
                torch.from_file(str(tmp_path / f"{name}-{i}-{rank}"), size=weight.numel()).view_as(weight)
                for i, weight in enumerate(expected)
            ]
            for rank in range(2)
        ]
        assert_all_close(*both, rtol=0, atol=0)
        if name != "random":
            assert_all_close(both[0], expected, rtol=0, atol=1e-6)
