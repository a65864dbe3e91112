"""A small detector of blood cells, trained out of fold on labels with their errors, so that its predictions are honest.

A convolutional network finds cell centres on a grid of 8 pixels and their sizes (as CenterNet: Zhou, Wang and
Krähenbühl, Objects as Points, 2019). Each image is predicted by a network that saw two thirds of the others.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

WIDTH, HEIGHT, STRIDE = 160, 120, 2
FOLDS, EPOCHS, BATCH = 3, 18, 8


def out_of_fold(paths: list[Path], boxes: list[np.ndarray], cache: Path) -> list[np.ndarray]:
    """Return (m, 5) x, y, width, height relative to the image, and confidence, for each image; kept in ``cache``."""
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(cache, **{str(i): rows for i, rows in enumerate(_predict_all(paths, boxes))})
    stored = np.load(cache)
    return [stored[str(i)] for i in range(len(paths))]


def network() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, STRIDE, 1), nn.BatchNorm2d(16), nn.ReLU()]
    for inner, outer, dilation in [(16, 32, 1), (32, 32, 2), (32, 32, 4), (32, 32, 4), (32, 32, 2), (32, 32, 1)]:
        layers += [nn.Conv2d(inner, outer, 3, 1, dilation, dilation), nn.BatchNorm2d(outer), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(32, 5, 1))


def _predict_all(paths: list[Path], boxes: list[np.ndarray]) -> list[np.ndarray]:
    images = torch.stack([_pixels(path) for path in paths])
    targets = torch.stack([_target(rows) for rows in boxes])
    fold = np.random.default_rng(0).permutation(len(paths)) % FOLDS
    result: list[np.ndarray] = [np.empty((0, 5))] * len(paths)
    for held_out in range(FOLDS):
        model = _train(images[fold != held_out], targets[fold != held_out])
        with torch.inference_mode():
            for i in np.flatnonzero(fold == held_out):
                result[i] = _decode(model(images[i : i + 1])[0])
    return result


def _pixels(path: Path) -> torch.Tensor:
    small = Image.open(path).convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, np.float32).transpose(2, 0, 1) / 128 - 1)


def _target(boxes: np.ndarray) -> torch.Tensor:
    """Return heat, width, height, and offset of the centre for each cell of the grid."""
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    target = np.zeros((6, rows, columns), np.float32)
    y, x = np.mgrid[:rows, :columns]
    for left, top, width, height in boxes:
        across, down = (left + width / 2) * columns, (top + height / 2) * rows
        spread = max(0.1 * np.sqrt(width * columns * height * rows), 0.1)
        heat = np.exp(-((x + 0.5 - across) ** 2 + (y + 0.5 - down) ** 2) / (2 * spread**2))
        nearer = heat > np.maximum(target[0], 0.1)
        values = (np.log(width * 10 + 1e-3), np.log(height * 10 + 1e-3), across - x - 0.5, down - y - 0.5)
        for channel, value in enumerate(values, start=1):
            target[channel][nearer] = np.broadcast_to(value, heat.shape)[nearer]
        target[5][nearer] = 1
        target[0] = np.maximum(target[0], heat)
    return torch.from_numpy(target)


def _train(images: torch.Tensor, targets: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].view(-1, BATCH):
            optimizer.zero_grad()
            _loss(model(images[rows]), targets[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    heat = nn.functional.binary_cross_entropy_with_logits(output[:, 0], target[:, 0])
    inside = target[:, 5:]
    offsets = (nn.functional.smooth_l1_loss(output[:, 1:], target[:, 1:5], reduction="none") * inside).sum()
    return 10 * heat + offsets / inside.sum().clamp(min=1)


def _decode(output: torch.Tensor, least: float = 0.05) -> np.ndarray:
    heat = output[0].sigmoid()
    peaks = (heat == nn.functional.max_pool2d(heat[None], 3, 1, 1)[0]) & (heat > least)
    down, across = torch.nonzero(peaks, as_tuple=True)
    width, height = (output[1:3, down, across].exp() - 1e-3) / 10
    x = (across + 0.5 + output[3, down, across]) / heat.shape[1]
    y = (down + 0.5 + output[4, down, across]) / heat.shape[0]
    rows = torch.stack([x - width / 2, y - height / 2, width, height, heat[down, across]], dim=1).numpy()
    return _suppress(rows[np.argsort(-rows[:, 4], kind="stable")])


def _suppress(rows: np.ndarray, most: float = 0.6) -> np.ndarray:
    from brain_assets.methods.labels.objects import box_iou

    kept: list[np.ndarray] = []
    for row in rows:
        if not kept or box_iou(np.stack(kept)[:, :4], np.repeat(row[None, :4], len(kept), axis=0)).max() < most:
            kept.append(row)
    return np.stack(kept).astype(float) if kept else np.empty((0, 5))
