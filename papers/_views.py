"""Views of images: random crops and colours, over a batch at once, on its device.

[C] is Chen, Kornblith, Norouzi, Hinton (2020), appendix A. Images are floats (B, C, H, W) in 0..1.
Every image draws its own numbers from the default generator, so the seed decides them.
"""

import math

import minidl


def full(x: minidl.Tensor) -> minidl.Tensor:
    """[C] A: (B, 3, H, H) to (B, 3, 224, 224)."""
    return blur(colour(crop(x, smallest=0.08, size=224)))


def uniform(low: float, high: float, x: minidl.Tensor) -> minidl.Tensor:
    """A number for each image, (B, 1, 1, 1)."""
    return low + (high - low) * minidl.rand(len(x), 1, 1, 1, device=x.device)


def sometimes(p: float, changed: minidl.Tensor, x: minidl.Tensor) -> minidl.Tensor:
    """Each image changed with probability p."""
    return minidl.where(uniform(0, 1, x) < p, changed, x)


def crop(x: minidl.Tensor, smallest: float, size: int) -> minidl.Tensor:
    """A random part of each image, resized to (B, C, size, size), mirrored every second time.

    [C] A: its area is uniform from `smallest` to 1, its aspect ratio from 3/4 to 4/3. (A part that
    is wider or higher than the image is cut, where the authors' code draws another.)
    """
    area = uniform(smallest, 1, x)
    ratio = uniform(-math.log(4 / 3), math.log(4 / 3), x).exp()  # width / height
    height, width = ((area * r).sqrt().clamp(max=1) for r in (1 / ratio, ratio))
    top, left = uniform(0, 1, x) * (1 - height), uniform(0, 1, x) * (1 - width)
    y = resized(x, top, left, height, width, size)
    return sometimes(0.5, y.flip(3), y)


def resized(x, top, left, height, width, size: int) -> minidl.Tensor:
    """The box of each image, in shares of its sides (B, 1, 1, 1), as (B, C, size, size): linear
    interpolation between pixel centres, the border goes on outside."""
    rows = interpolation(top, height, size, x.shape[2])  # (B, 1, size, H)
    columns = interpolation(left, width, size, x.shape[3])  # (B, 1, size, W)
    return rows @ x @ columns.mT


def interpolation(start, length, size: int, pixels: int) -> minidl.Tensor:
    """The matrix (B, 1, size, pixels) that reads `size` values between `start` and its end."""
    device = start.device
    inside = (minidl.arange(size, device=device) + 0.5)[:, None] / size  # (size, 1)
    places = ((start + length * inside) * pixels - 0.5).clamp(0, pixels - 1)  # (B, 1, size, 1)
    return (1 - (places - minidl.arange(pixels, device=device)).abs()).clamp(min=0)


def grey_colour(x: minidl.Tensor, strength: float, noise: float) -> minidl.Tensor:
    """What colour distortion can be where there is no colour: brightness, gamma and noise."""
    brightness = uniform(1 - strength, 1 + strength, x)
    gamma = uniform(-strength, strength, x).exp()
    y = brightness * x**gamma + noise * minidl.randn(*x.shape, device=x.device)
    return y.clamp(0, 1)


def colour(x: minidl.Tensor, s: float = 1.0) -> minidl.Tensor:
    """[C] A, colour distortion of strength s: jitter 4 times in 5, no colour once in 5."""
    y = blend(x, 0 * x, uniform(max(0, 1 - 0.8 * s), 1 + 0.8 * s, x))  # brightness
    middle = grey(y).mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    y = blend(y, middle, uniform(max(0, 1 - 0.8 * s), 1 + 0.8 * s, x))  # contrast
    y = blend(y, grey(y), uniform(max(0, 1 - 0.8 * s), 1 + 0.8 * s, x))  # saturation
    y = turned(y, uniform(-0.2 * s, 0.2 * s, x))  # hue
    y = sometimes(0.8, y, x)
    return sometimes(0.2, grey(y).expand(-1, 3, -1, -1), y)


def blend(x, other, share) -> minidl.Tensor:
    return (other + share * (x - other)).clamp(0, 1)


def grey(x) -> minidl.Tensor:
    """Luma of ITU-R BT.601, (B, 1, H, W)."""
    return 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]


def turned(x, turn) -> minidl.Tensor:
    """The hue of every pixel turned by this part of the circle (B, 1, 1, 1), through HSV."""
    r, g, b = x[:, 0:1], x[:, 1:2], x[:, 2:3]
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    safe = minidl.where(chroma > 0, chroma, 1.0)
    of_red, of_green, of_blue = (g - b) / safe, 2 + (b - r) / safe, 4 + (r - g) / safe
    hue = minidl.where(value == r, of_red, minidl.where(value == g, of_green, of_blue)) + 6 * turn
    sixths = [(hue + n) % 6 for n in (5, 3, 1)]  # for red, green, blue
    return minidl.cat([value - chroma * minidl.minimum(k, 4 - k).clamp(0, 1) for k in sixths], 1)


def blur(x: minidl.Tensor) -> minidl.Tensor:
    """[C] A: every second image, Gaussian, sigma from 0.1 to 2, a kernel of a tenth of the side.
    At the border its weights inside are scaled up to the sum 1."""
    side, device = x.shape[2], x.device
    places = minidl.arange(side, device=device)
    apart = (places[:, None] - places).abs()  # (H, H)
    weights = (-((apart / uniform(0.1, 2, x)) ** 2) / 2).exp() * (apart <= side // 20)
    weights = weights / weights.sum(3, keepdim=True)  # (B, 1, H, H)
    return sometimes(0.5, weights @ x @ weights.mT, x)
