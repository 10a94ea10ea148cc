"""The other side of `cargo bench --bench training`: PyTorch's step of LeNet-300-100, batch 60, fused Adam, one thread.

    python benches/pytorch_step.py [seconds]

Prints the fastest and the median step of some seconds (10 if not told), in milliseconds, and iterations per second.
Pin both programs to one core (`taskset -c 1 …`) and run them in turn: a machine's noise drifts.
"""

import statistics
import sys
import time

import torch
from torch import nn

BATCH = 60


def main(seconds: float) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1.2e-3, fused=True)
    x, labels = torch.rand(BATCH, 784), torch.randint(0, 10, (BATCH,))

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    for _ in range(50):
        step()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    best, median = 1e3 * min(times), 1e3 * statistics.median(times)
    print(f"PyTorch {torch.__version__}: best {best:.3f} ms, median {median:.3f} ms, {1e3 / best:.0f} iterations/s")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
