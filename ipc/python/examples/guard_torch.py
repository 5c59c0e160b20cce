"""Guards a PyTorch classifier: a forward hook on its penultimate layer, Adder, then the answer.

What matters is class GuardedModel. Around it: a small network on made-up images, so that the whole
way can be walked in a minute, from the folder above with adder and adderd on the path:

    python3 examples/guard_torch.py train /tmp/guard
    adder fit --embeddings /tmp/guard/train.npy --labels /tmp/guard/labels.npy --out /tmp/guard/ref
    adder calibrate --reference /tmp/guard/ref --embeddings /tmp/guard/held.npy \
        --classes /tmp/guard/pred.npy
    adderd --reference /tmp/guard/ref --listen ipc:///tmp/guard/adder.sock &
    python3 examples/guard_torch.py serve /tmp/guard
"""

from __future__ import annotations

import pathlib
import sys
import threading

import numpy as np
import torch

from adder_client import AdderError, Client

CLASSES, DIM, PIXELS = 5, 32, 12


class GuardedModel:
    """A model whose answers pass through Adder. Threads may share one. adder None: features."""

    def __init__(
        self, model: torch.nn.Module, penultimate: torch.nn.Module, adder: Client | None
    ) -> None:
        self.model = model.eval()
        self.adder = adder
        self._features = threading.local()
        penultimate.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        self._features.rows = output.detach().flatten(1)

    def features(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Penultimate features [N, dim] f4 and probabilities [N, classes] f4."""
        with torch.inference_mode():
            probabilities = self.model(images).softmax(dim=1)
        # On a GPU, .half() before .cpu() halves what is copied and sent.
        return self._features.rows.float().cpu().numpy(), probabilities.float().cpu().numpy()

    def predict(self, images: torch.Tensor, accounts: list[str]) -> np.ndarray:
        """Probabilities [N, classes] that may leave; image i was sent by accounts[i]."""
        embeddings, probabilities = self.features(images)
        try:
            reply = self.adder.score(
                accounts, probabilities.argmax(axis=1), embeddings, want_poison=True
            )
        except AdderError as error:  # a wrong set-up, not a daemon that is away
            sys.exit(f"guard_torch: {error}")
        return reply.apply(probabilities)


def make_model() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 5 * 5, DIM),
        torch.nn.ReLU(),  # the penultimate layer: what goes into the last one
        torch.nn.Linear(DIM, CLASSES),
    )


def honest_images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One pattern a class, and noise."""
    patterns = torch.randn(CLASSES, 1, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    noise = torch.randn(count, 1, PIXELS, PIXELS, generator=generator)
    return patterns[labels] + noise, labels


def train(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    model = make_model()
    images, labels = honest_images(5000, seed=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for step in range(200):
        at = torch.arange(step * 64, step * 64 + 64) % len(images)
        loss = torch.nn.functional.cross_entropy(model(images[at]), labels[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), folder / "model.pt")
    # What Adder is fitted on: the training set by true label; and calibrated on: held-out honest
    # queries by predicted class.
    guarded = GuardedModel(model, model[4], None)
    np.save(folder / "train.npy", guarded.features(images)[0])
    np.save(folder / "labels.npy", labels.numpy())
    held, held_labels = honest_images(5000, seed=3)
    embeddings, probabilities = guarded.features(held)
    np.save(folder / "held.npy", embeddings)
    np.save(folder / "pred.npy", probabilities.argmax(axis=1))
    right = np.mean(probabilities.argmax(axis=1) == held_labels.numpy())
    print(f"{right:.1%} of held-out images right")


def serve(folder: pathlib.Path) -> None:
    model = make_model()
    model.load_state_dict(torch.load(folder / "model.pt"))
    generator = torch.Generator().manual_seed(5)
    callers = {
        "alice": honest_images(320, seed=4)[0],
        "mallory": 2 * torch.rand(320, 1, PIXELS, PIXELS, generator=generator),
    }
    with Client(f"ipc://{folder.resolve()}/adder.sock", timeout_s=1) as adder:
        guarded = GuardedModel(model, model[4], adder)
        for account, images in callers.items():
            changed = 0
            for batch in images.split(16):
                answers = guarded.predict(batch, [account] * len(batch))
                changed += int(np.any(answers != guarded.features(batch)[1], axis=1).sum())
            print(f"{account}: {changed} of {len(images)} answers poisoned")
        counters = adder.counters
        print(f"{counters['answered']} requests answered, {counters['assumed']} assumed")


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[1] not in ("train", "serve"):
        print("usage: guard_torch.py train|serve FOLDER", file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(1)
    {"train": train, "serve": serve}[sys.argv[1]](pathlib.Path(sys.argv[2]))


if __name__ == "__main__":
    main()
