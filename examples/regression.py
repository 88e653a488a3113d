"""Fit a noisy curve, stop when the validation loss no longer falls, and compare with the curve itself."""

import numpy as np

import fastnn
from fastnn import data, nn, optim
from fastnn.training import EarlyStopping

rng = np.random.default_rng(0)
x = rng.uniform(-3, 3, (2000, 1)).astype(np.float32)
y = np.sin(2 * x) * np.exp(-0.2 * x * x)
noisy = (y + rng.normal(0, 0.1, y.shape)).astype(np.float32)
train, validation = data.split((x, noisy), 0.2, rng=0)

model = nn.Sequential(
    nn.Linear(1, 32, rng=0), nn.Tanh(),
    nn.Linear(32, 32, rng=1), nn.Tanh(),
    nn.Linear(32, 1, rng=2),
)  # fmt: skip
optimizer = optim.Adam(model.parameters(), lr=1e-2)
history = fastnn.fit(
    model, nn.MSELoss(), optimizer, train, epochs=100, validation=validation, metrics=("mean_absolute_error",), rng=0,
    callbacks=[EarlyStopping(patience=10)], scheduler=optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=3),
)  # fmt: skip

grid = np.linspace(-3, 3, 200, dtype=np.float32)[:, None]
error = np.abs(fastnn.predict(model, grid) - np.sin(2 * grid) * np.exp(-0.2 * grid * grid))
print(f"stopped after {len(history)} epochs; the largest error on the curve without noise is {error.max():.3f} (noise: 0.1)")
