"""tombola and the packages that its users come from, each reading what the other writes: tests/live.rs runs this.

live.py packages        names those that are here
live.py write FOLDER    writes files with them, and what is in these as manifest.json
live.py check FOLDER    reads what tombola made of `orig.safetensors`, and fails where a bit differs
"""

import importlib.util
import json
import sys
from pathlib import Path

PACKAGES = ["numpy", "scipy", "safetensors", "torch", "compressed_tensors"]
if sys.argv[1] == "packages":
    print(" ".join(name for name in PACKAGES if importlib.util.find_spec(name)))
    sys.exit()

import numpy as np
import safetensors.numpy
import scipy.io
import scipy.sparse
from safetensors import safe_open

has_torch, has_compressed_tensors = (importlib.util.find_spec(name) for name in PACKAGES[3:])
folder = Path(sys.argv[2])

# A Sequential's: linear layers 0, 2 and 4, with activations between them.
SHAPES = {"0": (37, 29), "2": (19, 37), "4": (5, 19)}
random = np.random.default_rng(0)
dense = {name: random.standard_normal(shape, dtype=np.float32) for name, shape in SHAPES.items()}
bias = {name: random.standard_normal(shape[0], dtype=np.float32) for name, shape in SHAPES.items()}
masks = {name: random.random(shape) < 0.3 for name, shape in SHAPES.items()}
# Numbers that a careless decimal or a detour through another type would change; and a kept weight that is zero.
dense["0"][0, :6] = [1e-45, 3.4028235e38, 0.1, -1.1754944e-38, 16777217, 0.0]
masks["0"][0, :6] = True
pruned = {name: np.where(masks[name], dense[name], np.float32(0)) for name in SHAPES}


def state(weights, ending=".weight", dtype=np.float32):
    """All layers, as a state dict has them."""
    return {name + ending: array.astype(dtype) for name, array in weights.items()}


def biases(dtype=np.float32):
    return state(bias, ".bias", dtype)


manifest = []


def bits(array):
    # Where something became a zero it has no sign: tombola keeps none of them.
    return (np.asarray(array, dtype=np.float32) + np.float32(0)).view(np.uint32).tolist()


def expect(file, weights, biases={}, names=None, **how):
    """Notes what a file holds, as bits; biases are zeros where there are none."""
    layers = [
        {"weight": bits(weight), "bias": bits(biases.get(name, np.zeros(len(weight))))}
        for name, weight in weights.items()
    ]
    manifest.append({"file": file, "names": names or list(weights), "layers": layers, **how})


def write_arrays():
    save = safetensors.numpy.save_file
    save({**state(pruned), **biases()}, folder / "zeros.safetensors")
    expect("zeros.safetensors", pruned, bias)
    save(
        {**state(dense, ".weight_orig"), **state(masks, ".weight_mask"), **biases()},
        folder / "orig.safetensors",
    )
    expect("orig.safetensors", pruned, bias)
    # Weights that half precision can hold.
    half = {name: (array.clip(-4, 4)).astype(np.float16) for name, array in pruned.items()}
    save({**state(half, dtype=np.float16), **biases()}, folder / "f16.safetensors")
    expect("f16.safetensors", half, bias)
    np.savez(folder / "plain.npz", **state(pruned), **biases())
    expect("plain.npz", pruned, bias)
    np.savez_compressed(folder / "packed.npz", **state(pruned), **biases(np.float64))
    expect("packed.npz", pruned, bias)

    one = {"0": pruned["0"]}
    np.save(folder / "rows.npy", pruned["0"])
    expect("rows.npy", one, names=["rows"])
    np.save(folder / "columns.npy", np.asfortranarray(pruned["0"]))
    expect("columns.npy", one, names=["columns"])
    csr = scipy.sparse.csr_matrix(pruned["0"])
    scipy.sparse.save_npz(folder / "csr.npz", csr)
    expect("csr.npz", one, names=["csr"])
    scipy.sparse.save_npz(folder / "csc.npz", csr.tocsc(), compressed=False)
    expect("csc.npz", one, names=["csc"])
    wide = csr.copy()
    wide.indices, wide.indptr = csr.indices.astype(np.int64), csr.indptr.astype(np.int64)
    scipy.sparse.save_npz(folder / "int64.npz", wide)
    expect("int64.npz", one, names=["int64"])
    scipy.io.mmwrite(folder / "matrix.mtx", csr, precision=9)
    expect("matrix.mtx", one, names=["matrix"])

    # One layer that is dense, and its mask in files whose names mean nothing.
    save({"fc.weight": dense["0"]}, folder / "one.safetensors")
    np.save(folder / "mask array.npy", masks["0"])
    scipy.io.mmwrite(
        folder / "mask matrix.mtx", scipy.sparse.coo_matrix(masks["0"].astype(int)), field="pattern"
    )
    scipy.sparse.save_npz(folder / "mask csr.npz", scipy.sparse.csr_matrix(masks["0"].astype(np.float32)))
    for file in ["mask array.npy", "mask matrix.mtx", "mask csr.npz"]:
        expect("one.safetensors", one, names=["fc"], masks=file)
    np.savez(folder / "masks.npz", **state(masks, ""))
    save(state(dense), folder / "dense.safetensors")
    expect("dense.safetensors", pruned, masks="masks.npz")


def write_torch():
    import torch
    from safetensors.torch import save_file
    from torch import nn
    from torch.nn.utils import parametrize, prune

    def sequential(weights):
        modules = []
        for name, (out, inputs) in SHAPES.items():
            linear = nn.Linear(inputs, out)
            linear.weight.data, linear.bias.data = torch.from_numpy(weights[name].copy()), torch.from_numpy(
                bias[name].copy()
            )
            modules += [linear, nn.ReLU()]
        return nn.Sequential(*modules[:-1])

    save_file(sequential(pruned).state_dict(), folder / "sequential.safetensors")
    expect("sequential.safetensors", pruned, bias)

    model = sequential(dense)
    kept = {name: np.arange(len(bias[name])) % 3 != 0 for name in SHAPES}
    for name in SHAPES:
        prune.custom_from_mask(model[int(name)], "weight", torch.from_numpy(masks[name]))
        prune.custom_from_mask(model[int(name)], "bias", torch.from_numpy(kept[name]))
    save_file(model.state_dict(), folder / "prune.safetensors")
    expect("prune.safetensors", pruned, {name: np.where(kept[name], bias[name], 0) for name in SHAPES})

    class Masked(nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.register_buffer("mask", mask)

        def forward(self, weight):
            return weight * self.mask

    model = sequential(dense)
    for name in SHAPES:
        parametrize.register_parametrization(
            model[int(name)], "weight", Masked(torch.from_numpy(masks[name]))
        )
    save_file(model.state_dict(), folder / "parametrized.safetensors")
    expect("parametrized.safetensors", pruned, bias)

    for dtype in [torch.float16, torch.bfloat16, torch.float64]:
        model = sequential({name: array.clip(-4, 4) for name, array in pruned.items()}).to(dtype)
        file = f"{dtype}.safetensors"
        save_file(model.state_dict(), folder / file)
        wide = {name: value.to(torch.float32).numpy() for name, value in model.state_dict().items()}
        expect(
            file,
            {name: wide[f"{name}.weight"] for name in SHAPES},
            {name: wide[f"{name}.bias"] for name in SHAPES},
        )


def write_bitmasks():
    import torch
    from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskTensor
    from safetensors.torch import save_file

    for dtype in [torch.float32, torch.bfloat16]:
        tensors, weights = {}, {}
        for name in SHAPES:
            weight = torch.from_numpy(pruned[name]).to(dtype)
            tensors |= BitmaskTensor.from_dense(weight).dict(f"{name}.weight")
            weights[name] = weight.to(torch.float32).numpy()
        file = f"bitmask.{dtype}.safetensors"
        save_file(tensors, folder / file)
        expect(file, weights)


def same(found, expected, what):
    found = np.asarray(found)
    assert found.dtype == np.float32 and found.shape == expected.shape, f"{what}: {found.dtype} {found.shape}"
    assert (found.view(np.uint32) == expected.view(np.uint32)).all(), what


def check_arrays():
    zeros = safetensors.numpy.load_file(folder / "out.dense.safetensors")
    archive = np.load(folder / "out.dense.npz")
    assert (
        set(zeros)
        == set(archive.files)
        == {f"{name}.{part}" for name in SHAPES for part in ["weight", "bias"]}
    )
    with safe_open(folder / "out.dense.safetensors", "np") as file:
        assert file.metadata()["activations"] == "relu,relu,identity"
    for name in SHAPES:
        for what, tensors in [("dense safetensors", zeros), ("dense npz", archive)]:
            same(tensors[f"{name}.weight"], pruned[name], f"{what} of {name}")
            same(tensors[f"{name}.bias"], bias[name], f"{what} of {name}'s bias")
        same(np.load(folder / f"out.{name}.npy"), pruned[name], f"npy of {name}")
        csr = scipy.sparse.load_npz(folder / f"out.{name}.npz")
        assert csr.nnz == masks[name].sum() and csr.has_canonical_format, f"npz of {name}: {csr.nnz}"
        same(csr.toarray(), pruned[name], f"npz of {name}")
        matrix = scipy.io.mmread(folder / f"out.{name}.mtx")
        assert matrix.nnz == masks[name].sum(), f"mtx of {name}: {matrix.nnz}"
        same(matrix.toarray().astype(np.float32), pruned[name], f"mtx of {name}")


def check_torch():
    import torch
    from safetensors.torch import load_file

    t = load_file(folder / "out.safetensors")
    for name in SHAPES:
        crow, col, values, shape = (
            t[f"{name}.{part}"] for part in ["crow_indices", "col_indices", "values", "shape"]
        )
        weight = torch.sparse_csr_tensor(crow, col, values, shape.tolist())
        assert weight.values().numel() == masks[name].sum(), f"safetensors of {name}"
        same(weight.to_dense().numpy(), pruned[name], f"safetensors of {name}")
        same(t[f"{name}.bias"].numpy(), bias[name], f"safetensors of {name}'s bias")
    modules = []
    for out, inputs in SHAPES.values():
        modules += [torch.nn.Linear(inputs, out), torch.nn.ReLU()]
    torch.nn.Sequential(*modules[:-1]).load_state_dict(
        load_file(folder / "out.dense.safetensors"), strict=True
    )


if sys.argv[1] == "write":
    write_arrays()
    if has_torch:
        write_torch()
    if has_compressed_tensors:
        write_bitmasks()
    (folder / "manifest.json").write_text(json.dumps(manifest))
elif sys.argv[1] == "check":
    check_arrays()
    if has_torch:
        check_torch()
