#!/usr/bin/env python3
"""The peer that `ddpm bench` is compared with: the same network, train step and sample step in
PyTorch, from the same config, printed as JSON under the same keys.

    peer.py --config configs/cifar.json --batch 16 --threads 2

A train step is forward, backward, clip, Adam and EMA; a sample step is one forward pass without
gradients. Needs PyTorch (Debian: python3-torch).
"""
import argparse
import copy
import json
import math
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

DEFAULTS = {"image_size": 32, "channels": 3, "base_channels": 128, "channel_mult": [1, 2, 2, 2],
            "res_blocks": 2, "attention_resolutions": [16], "norm_groups": 32, "dropout": 0.1}


class Residual(nn.Module):
    def __init__(self, inside, outside, config):
        super().__init__()
        groups = config["norm_groups"]
        self.norms = nn.ModuleList(nn.GroupNorm(groups, c, eps=1e-6) for c in (inside, outside))
        self.convs = nn.ModuleList(nn.Conv2d(c, outside, 3, padding=1) for c in (inside, outside))
        self.time = nn.Linear(4 * config["base_channels"], outside)
        self.dropout = nn.Dropout(config["dropout"])
        self.shortcut = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x, time_embedding):
        h = self.convs[0](F.silu(self.norms[0](x))) + self.time(time_embedding)[:, :, None, None]
        return self.shortcut(x) + self.convs[1](self.dropout(F.silu(self.norms[1](h))))


class Attention(nn.Module):
    def __init__(self, channels, config):
        super().__init__()
        self.norm = nn.GroupNorm(config["norm_groups"], channels, eps=1e-6)
        self.q, self.k, self.v, self.out = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x, _):
        tokens = self.norm(x).flatten(2).transpose(1, 2)
        scores = self.q(tokens) @ self.k(tokens).transpose(1, 2) / math.sqrt(x.shape[1])
        y = self.out(scores.softmax(dim=2) @ self.v(tokens))
        return x + y.transpose(1, 2).reshape(x.shape)


class Down(nn.Conv2d):
    def forward(self, x, _):
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Conv2d):
    def forward(self, x, _):
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """`steps` is a list of (what, layer): "skip" remembers the output, "join" concatenates the
    last one that was remembered to the input, "" does neither."""

    def __init__(self, config):
        super().__init__()
        self.config, base = config, config["base_channels"]
        self.embed = nn.Sequential(nn.Linear(base, 4 * base), nn.SiLU(),
                                   nn.Linear(4 * base, 4 * base), nn.SiLU())
        self.conv_in = nn.Conv2d(config["channels"], base, 3, padding=1)
        self.layers, self.steps = nn.ModuleList(), []
        self.build([base * m for m in config["channel_mult"]], base)
        self.norm_out = nn.GroupNorm(config["norm_groups"], base * config["channel_mult"][0],
                                     eps=1e-6)
        self.conv_out = nn.Conv2d(base * config["channel_mult"][0], config["channels"], 3,
                                  padding=1)

    def add(self, layer, what=""):
        self.layers.append(layer)
        self.steps.append(what)

    def build(self, widths, channels):
        config, size, skips = self.config, self.config["image_size"], [channels]

        def attends():
            return size in config["attention_resolutions"]

        for level, width in enumerate(widths):
            for _ in range(config["res_blocks"]):
                self.add(Residual(channels, width, config), "" if attends() else "skip")
                if attends():
                    self.add(Attention(width, config), "skip")
                channels = width
                skips.append(channels)
            if level + 1 < len(widths):
                self.add(Down(channels, channels, 3, stride=2), "skip")
                skips.append(channels)
                size //= 2
        for layer in (Residual(channels, channels, config), Attention(channels, config),
                      Residual(channels, channels, config)):
            self.add(layer)
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config["res_blocks"] + 1):
                self.add(Residual(channels + skips.pop(), width, config), "join")
                channels = width
                if attends():
                    self.add(Attention(channels, config))
            if level > 0:
                self.add(Up(channels, channels, 3, padding=1))
                size *= 2

    def forward(self, x, t):
        half = self.config["base_channels"] // 2
        frequencies = torch.exp(torch.arange(half) * (-math.log(10000) / (half - 1)))
        angles = t[:, None] * frequencies
        embedding = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        h = self.conv_in(x)
        skips = [h]
        for layer, what in zip(self.layers, self.steps):
            h = layer(torch.cat([h, skips.pop()], dim=1) if what == "join" else h, embedding)
            if what == "skip":
                skips.append(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class Steps:
    def __init__(self, config, batch):
        self.net = UNet(config)
        self.average = copy.deepcopy(self.net)
        self.adam = torch.optim.Adam(self.net.parameters(), lr=2e-4)
        self.shape = (batch, config["channels"], config["image_size"], config["image_size"])

    def train(self):
        x, noise = torch.randn(self.shape), torch.randn(self.shape)
        t = torch.randint(0, 1000, self.shape[:1]).float()
        self.adam.zero_grad(set_to_none=True)
        F.mse_loss(self.net(x, t), noise).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.adam.step()
        with torch.no_grad():
            average, weights = list(self.average.parameters()), list(self.net.parameters())
            torch._foreach_mul_(average, 0.9999)
            torch._foreach_add_(average, weights, alpha=1e-4)

    def sample(self):
        with torch.no_grad():
            self.net(torch.randn(self.shape), torch.full(self.shape[:1], 500.0))


def seconds_of(step, repeat):
    step()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return min(seconds), statistics.median(seconds)


def read_model(path):
    with open(path, encoding="utf-8") as file:
        given = json.load(file).get("model", {})
    unknown = sorted(set(given) - set(DEFAULTS))
    if unknown:
        raise SystemExit(f"{path}: model.{unknown[0]} is not a key that the peer knows")
    return {**DEFAULTS, **given}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--only", choices=["train", "sample"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    steps = Steps(read_model(options.config), options.batch)
    figures = {"config": options.config, "batch": options.batch, "threads": options.threads,
               "torch": torch.__version__,
               "parameters": sum(p.numel() for p in steps.net.parameters())}
    for name in ["train", "sample"]:
        if options.only in (None, name):
            steps.net.train(name == "train")
            best, median = seconds_of(getattr(steps, name), options.repeat)
            figures[f"{name}_images_per_s"] = options.batch / best
            figures[f"{name}_images_per_s_median"] = options.batch / median
    figures["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
