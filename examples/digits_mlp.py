"""Train a classifier of handwritten digits, look at it, save it and use it."""

import fastnn
from fastnn import data, nn, optim

(x, y), test = data.digits()

model = nn.Sequential(
    nn.Linear(64, 256, rng=0),
    nn.ReLU(),
    nn.Linear(256, 10, rng=1),
)
loss = nn.CrossEntropyLoss()
optimizer = optim.Adam(model.parameters(), lr=3e-3)

print(model.summary((1, 64)))
history = fastnn.fit(model, loss, optimizer, (x, y), epochs=20, validation=test, metrics=("accuracy",), rng=0)
print(f"test accuracy {fastnn.evaluate(model, loss, test, metrics=('accuracy',))['accuracy']:.1%}")

fastnn.save(model, "digits.safetensors")
print("the first five test digits:", fastnn.predict(model, test[0][:5]).argmax(axis=1), "should be", test[1][:5])
