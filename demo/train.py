"""The demo's training: a small neural network learns to read scikit-learn's 1797 handwritten digits.

Reads the data set that comes with scikit-learn; writes a progress bar, a loss and an accuracy for each epoch to stdout,
warnings to stderr, and the weights to the run's outputs/ where it runs under `runyard run`.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

EPOCHS = 10
BATCH = 32
BAR_WIDTH = 30

Numbers = NDArray[Any]


def main() -> int:
    """Train; 0 if the network reads nine of ten unseen digits."""
    logging.basicConfig(format="%(levelname)s: %(message)s")  # to stderr
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images / 16.0, labels, test_size=0.25, random_state=7)
    print(f"{len(train_x)} digits to learn from, {len(test_x)} to be tested on; process {os.getpid()}", flush=True)
    model = MLPClassifier((128, 64), learning_rate_init=0.004, random_state=7)
    order = np.random.default_rng(7)
    before, accuracy = float("inf"), 0.0
    for epoch in range(1, EPOCHS + 1):
        train_epoch(model, train_x, train_y, order.permutation(len(train_x)), epoch)
        loss = log_loss(test_y, model.predict_proba(test_x), labels=range(10))
        accuracy = model.score(test_x, test_y)
        print(f"epoch {epoch:2}: loss {loss:.4f}, accuracy {accuracy:.3f}", flush=True)
        if loss > before:
            logging.warning("in epoch %d the loss on unseen digits rose from %.4f to %.4f", epoch, before, loss)
        before = loss
    save(model)
    return 0 if accuracy > 0.9 else 1


def train_epoch(model: MLPClassifier, images: Numbers, labels: Numbers, order: Numbers, epoch: int) -> None:
    """One pass over all digits, with a bar that is drawn over itself."""
    starts = range(0, len(order), BATCH)
    for count, start in enumerate(starts, 1):
        chosen = order[start : start + BATCH]
        model.partial_fit(images[chosen], labels[chosen], classes=range(10))
        filled = BAR_WIDTH * count // len(starts)
        bar = "█" * filled + "·" * (BAR_WIDTH - filled)
        end = "\n" if count == len(starts) else ""
        print(f"\repoch {epoch:2} |{bar}| {count}/{len(starts)}", end=end, flush=True)


def save(model: MLPClassifier) -> None:
    """Keep the weights with the run's logs."""
    folder = os.environ.get("RUNYARD_OUTPUT_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        np.savez(Path(folder) / "weights.npz", *model.coefs_, *model.intercepts_)
        print("the weights are in outputs/weights.npz", flush=True)


if __name__ == "__main__":
    sys.exit(main())
