"""A training step as one call: capture it, run it, look into it, and predict with a captured model."""

import time

import numpy as np

import fastnn
from fastnn import data, nn, optim

(x, y), (x_test, y_test) = data.digits()
model = nn.Sequential(nn.Linear(64, 128, rng=0), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10, rng=1))
loss = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=2e-3)
step = fastnn.capture(model, loss, optimizer)
rng = np.random.default_rng(0)

print("one step:", step(x[:64], y[:64]))  # recorded while it runs
print("again, now replayed:", step(x[:64], y[:64]))

for epoch in range(15):
    begin = time.perf_counter()
    losses = step.many(x, y, batch_size=64, order=rng.permutation(len(x)))
    seconds = time.perf_counter() - begin
    print(f"epoch {epoch + 1:2}: mean loss {losses.mean():.4f}, {seconds / len(losses) * 1e6:.0f} µs a step")
    optimizer.param_groups[0]["lr"] *= 0.9  # takes effect with the next call

print(step.explain())

predict = fastnn.capture(model)  # in evaluation mode, with the batch normalisation folded into the layer before it
print(f"test accuracy {np.mean(predict(x_test).argmax(axis=1) == y_test):.1%}")
