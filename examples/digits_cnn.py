"""A small convolutional network on the digits inside the package: 8×8 images, a few seconds."""

import numpy as np

import fastnn
from fastnn import nn, optim

(x_train, y_train), (x_test, y_test) = fastnn.data.digits()
x_train, x_test = x_train.reshape(-1, 1, 8, 8), x_test.reshape(-1, 1, 8, 8)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False, rng=0), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1, bias=False, rng=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Dropout(0.2, rng=2), nn.Linear(512, 10, rng=3),
)  # fmt: skip
print(model.summary((64, 1, 8, 8)))

optimizer = optim.Adam(model.parameters(), lr=2e-3)
fastnn.fit(model, nn.CrossEntropyLoss(), optimizer, (x_train, y_train), epochs=10, validation=(x_test, y_test), metrics=["accuracy"], rng=0)

predict = fastnn.capture(model.eval())  # batch norms folded into the convolutions, ReLU fused, weights packed
scores = predict(x_test)
print(f"test accuracy {np.mean(scores.argmax(axis=1) == y_test):.2%}")
print(predict.explain())
