"""Forecast the yearly number of sunspots, 1700 to 2008, and compare with statsmodels' autoregression.

Run it as ``python examples/forecast_sunspots.py [PICTURE]``. It needs statsmodels, which has the series, and matplotlib: pip install "fastnn[examples]".

The years up to 1946 train the models; the last 62 are forecast in two ways: each year from the true ones before it (one step ahead), and all of them from
what was known in 1946, forecasts standing in for the years in between (free run).
"""

import sys
from io import BytesIO

import numpy as np

import fastnn
from fastnn import data, nn, optim

try:
    from matplotlib.figure import Figure
    from PIL import Image
    from statsmodels.datasets import sunspots
    from statsmodels.tsa.ar_model import AutoReg
except ImportError as error:
    sys.exit(f'This example needs {error.name}, which is not installed; get it with: pip install "fastnn[examples]"')

YEARS = 22  # in a window: two cycles of the sun
NETWORKS = 5  # the forecast is their mean
LAGS = 9  # of the autoregression; like the networks' sizes and epochs chosen by forecasts of 1895 to 1946 from the years before

table = sunspots.load().data
years, spots = table.YEAR.to_numpy(), table.SUNACTIVITY.to_numpy()
past, future = data.train_test_split_in_time(spots, 0.2)
first, count = len(past), len(future)

# The root makes high and low cycles alike in their noise; then mean 0 and variance 1, as they are in the past.
mean, deviation = np.sqrt(past).mean(), np.sqrt(past).std()
scaled = ((np.sqrt(spots) - mean) / deviation).astype(np.float32)[:, None]
x, y = data.SlidingWindows(scaled[:first], YEARS, target=0).arrays()
known = data.SlidingWindows(scaled[first - YEARS :], YEARS).x


def as_spots(z):
    return np.maximum(z * deviation + mean, 0) ** 2


def train(seed):
    """A network that takes windows (n, YEARS, 1) and forecasts the next year, (n, 1), as one captured call."""
    model = nn.Sequential(nn.GRU(1, 32, batch_first=True, rng=seed), nn.LastStep(batch_first=True), nn.Linear(32, 1, rng=seed + 100))
    optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.3)
    schedule = optim.CosineAnnealingLR(optimizer, 100)
    history = fastnn.fit(model, nn.MSELoss(), optimizer, (x, y), epochs=100, scheduler=schedule, rng=seed, verbose=False)
    print(f"network {seed + 1} of {NETWORKS}: training loss {history['loss'][0]:.3f} → {history['loss'][-1]:.3f}")
    return fastnn.capture(model.eval())


def run_free(networks):
    """The years after the past, each from forecasts only."""
    window, forecast = scaled[None, first - YEARS : first], []
    for _ in range(count):
        forecast.append(np.mean([network(window)[0, 0] for network in networks]))
        window = np.concatenate([window[:, 1:], np.float32(forecast[-1]).reshape(1, 1, 1)], axis=1)
    return np.array(forecast)


def autoregress(series):
    """The years after the past, one step ahead and in a free run."""
    fitted = AutoReg(series[:first], LAGS).fit()
    return AutoReg(series, LAGS).predict(fitted.params, start=first, end=len(series) - 1), fitted.forecast(count)


networks = [train(seed) for seed in range(NETWORKS)]
forecasts = {
    "fastnn GRU": (as_spots(np.mean([network(known)[:, 0] for network in networks], axis=0)), as_spots(run_free(networks))),
    f"AutoReg({LAGS})": tuple(map(as_spots, autoregress(scaled[:, 0].astype(float)))),
    f"AutoReg({LAGS}), no roots": autoregress(spots),
    "persistence": (spots[first - 1 : -1], np.full(count, past[-1])),
}  # fmt: skip


def error(forecast):
    return np.sqrt(np.mean((forecast - future) ** 2))


print(f"\nroot mean squared error, {years[first]:.0f} to {years[-1]:.0f}   one year ahead   free run")
for name, (ahead, free) in forecasts.items():
    print(f"{name:<38} {error(ahead):16.1f} {error(free):10.1f}")

INK, GREY, COLOURS = "#222222", "#666666", {"fastnn GRU": "#D55E00", f"AutoReg({LAGS})": "#0072B2"}
figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
for which, (axes, title) in enumerate(zip(figure.subplots(2, sharex=True), ("One year ahead", f"Free run from {years[first - 1]:.0f}"))):
    shown = slice(first - 33, None)
    axes.fill_between(years[shown], spots[shown], color="#e4e4e4", linewidth=0)
    axes.plot(years[shown], spots[shown], color=GREY, linewidth=1, label="sunspots")
    for name, colour in reversed(COLOURS.items()):
        forecast = forecasts[name][which]
        axes.plot(years[first:], forecast, color=colour, linewidth=1.6, label=f"{name}, error {error(forecast):.1f}")
    axes.axvline(years[first] - 0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlim(years[shown][0], years[-1])
    axes.set_ylim(0, 210)
    axes.set_yticks(range(0, 201, 50))
    axes.tick_params(length=0, labelsize=8, colors=GREY)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, ncols=3, frameon=False, fontsize=8)
picture = sys.argv[1] if len(sys.argv) > 1 else "forecast.png"
figure.savefig(drawn := BytesIO())
Image.open(drawn).convert("RGB").quantize(64).save(picture)  # 64 colours are enough, and take a third of the bytes
print(f"\nthe forecasts are drawn in {picture}")
