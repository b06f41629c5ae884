"""What one sees of diffusion: images side by side, and bars."""

import minidl.nn.functional as F


def moments(steps):
    """The t, from T to 0, that a film shows: at most nine, most of them near the end."""
    return sorted({round(steps * (i / 8) ** 2) for i in range(9)}, reverse=True)


def tiles(images, rows):
    """Images (N, C, H, W) in -1 .. 1 in so many rows, a grey line between: (height, width, C)."""
    x = F.pad(images.clamp(-1, 1), (0, 1, 0, 1), value=0.2)
    N, C, H, W = x.shape
    x = x.reshape(rows, N // rows, C, H, W).permute(0, 3, 1, 4, 2).reshape(rows * H, -1, C)
    return (x[:-1, :-1].cpu().numpy() + 1) / 2


def draw(axes, images, rows, title):
    axes.imshow(tiles(images, rows), cmap="gray")
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def save(path, images, rows):
    """Write the tiles to a PNG, two pixels for each."""
    from matplotlib.image import imsave

    pixels = tiles(images, rows).repeat(2, 0).repeat(2, 1)
    imsave(path, pixels if pixels.shape[2] == 3 else pixels[:, :, 0], format="png", cmap="gray")


def show(figure, film, steps, samples, real, bits):
    """The film (moments, N, C, H, W), 40 samples beside 40 real images, bits of arm -> variance."""
    columns = (12, 5, 5, 12)[: 4 if bits else 3]
    axes = figure.subplots(1, len(columns), width_ratios=columns)
    draw(axes[0], film.transpose(0, 1).flatten(0, 1), film.shape[1], "From noise to image")
    width, times = film.shape[-1] + 1, moments(steps)
    axes[0].set_xticks([width * (i + 0.5) for i in range(len(times))], times)
    axes[0].set_xlabel(f"steps that are left, of {steps}")
    axes[0].tick_params(length=0)
    draw(axes[1], samples[:40], 8, "Samples")
    draw(axes[2], real[:40], 8, "Real images")
    if bits:
        draw_bits(axes[3], bits)


def draw_bits(axes, bits):
    """A group of bars for each arm, one for each variance that was chosen or trained."""
    colours = {"large": "#d55e00", "small": "#e69f00", "midpoint": "#56b4e9", "learned": "#0072b2"}
    for i, (variance, colour) in enumerate(colours.items()):
        arms = [(j + 0.2 * i, arm) for j, arm in enumerate(bits.values())]
        if variance == "learned":  # untrained it is the one in the middle
            arms = [(x, arm) for x, arm in arms if abs(arm["learned"] - arm["midpoint"]) > 1e-3]
        bars = {x: arm[variance] for x, arm in arms}
        drawn = axes.bar(bars.keys(), bars.values(), 0.19, color=colour, label=variance)
        axes.bar_label(drawn, fmt="%.2f", fontsize=7)
    axes.set_xticks([j + 0.3 for j in range(len(bits))], bits, fontsize=8)
    axes.set_title("Bits per pixel, by variance")
    axes.legend(fontsize=8, ncols=4, columnspacing=1, handlelength=1)
    axes.margins(y=0.2)
    axes.spines[["top", "right"]].set_visible(False)
