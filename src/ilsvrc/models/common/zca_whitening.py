"""Small images, whole, contrast-normalised and whitened, as Maxout's and NIN's CIFAR: on the device."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ilsvrc.models.common.normalization import Normalization

SCALE = 55.0  # pylearn2's `gcn=55.`: the norm of each image, a deviation of about 1 at 32 px
FILTER_BIAS = 0.1  # pylearn2's ZCA
MAX_PX = 48  # the matrix has 3 * 48 * 48 rows


class Whitening(Normalization):
    """Global contrast normalisation, then ZCA, then the window that a crop shows.

    Goodfellow et al. 2013, "Maxout Networks", section 5.2 (pylearn2's constants), which Lin et al. 2013 and the first
    version of Zagoruyko and Komodakis 2016 follow. A image x of D = 3 S S values becomes P (g - m), with g of mean 0
    and norm `SCALE`, m the training set's mean of g and P = (cov(g) + `FILTER_BIAS` I)^(-1/2), in float32 at least in
    every precision.

    Args:
        mean: float `[D]`, rows, columns and channels as they lie in an image.
        matrix: float `[D, D]`, symmetric.
        reflect: what lies outside of an image is the image mirrored, not 0.
    """

    center: Tensor
    matrix: Tensor

    def __init__(self, mean: Tensor, matrix: Tensor, reflect: bool = False) -> None:
        super().__init__([0.0] * 3, [1.0] * 3, "none")
        self.side_px, self.reflect = round((len(mean) / 3) ** 0.5), reflect
        self.register_buffer("center", mean.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("matrix", matrix.to(torch.get_default_dtype()), persistent=False)

    def forward(self, images: Tensor, means: Tensor | None = None) -> Tensor:
        """`[N, S, S, 3]`, uint8 or floats from 0 to 255, to floats `[N, 3, S, S]`, channels last.

        `means` holds crop boxes int64 `[N, 5]` (`random_crops.CropBoxes`) of S x S images, None for whole images.

        Raises:
            ValueError: the images have another size.
        """
        if images.shape[1:] != (self.side_px, self.side_px, 3):
            raise ValueError(
                f"normalization: gcn_zca is for images of {self.side_px} x {self.side_px} px, as in training; these "
                f"have {images.shape[1]} x {images.shape[2]}: test by a protocol of such views, such as whole"
            )
        with torch.autocast(images.device.type, enabled=False):
            flat = contrast_normalized(images.flatten(1).to(self.center.dtype))
            white = ((flat - self.center) @ self.matrix).view(images.shape).permute(0, 3, 1, 2)
        return white if means is None else shifted(white, means, self.reflect)

    def kept(self) -> dict[str, Tensor]:
        """Persistent buffers of a trained network: the fitted mean and matrix."""
        return {"zca_mean": self.center, "zca": self.matrix}


def contrast_normalized(images: Tensor) -> Tensor:
    """Rows `[N, D]` less their means, at the norm `SCALE`; a row of one value becomes 0."""
    centred = images - images.mean(dim=1, keepdim=True)
    norms = torch.linalg.vector_norm(centred, dim=1, keepdim=True) / SCALE
    return centred / torch.where(norms < 1e-8, 1.0, norms)


def shifted(images: Tensor, windows: Tensor, reflect: bool) -> Tensor:
    """Crops of the images' own size of `[N, 3, S, S]`: shifted, mirrored, 0 or reflected outside."""
    side = images.shape[-1]
    windows = windows.to(images.device)
    places = torch.arange(side, device=images.device)
    columns = windows[:, 2:3] + torch.where(windows[:, 4:] > 0, places.flip(0), places)
    rows = windows[:, 3:4] + places
    inside = ((rows >= 0) & (rows < side))[:, None, :, None] & ((columns >= 0) & (columns < side))[:, None, None, :]
    if reflect:
        rows, columns = (torch.minimum(some.abs(), 2 * (side - 1) - some.abs()) for some in (rows, columns))
    rows, columns = (some.clamp(0, side - 1) for some in (rows, columns))
    batch, channels = torch.arange(len(images), device=images.device), torch.arange(3, device=images.device)
    moved = images[batch[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None]]
    return (moved if reflect else moved * inside).contiguous(memory_format=torch.channels_last)


class Moments(NamedTuple):
    """Sums over contrast-normalised images, float64, on the CPU; those of several shares add up."""

    num_images: Tensor  # [1]
    total: Tensor  # [D]
    products: Tensor  # [D, D]


def moments(images: Iterable[Tensor], side_px: int) -> Moments:
    """Of batches uint8 `[n, S, S, 3]`; products are float32, their sums float64."""
    size = 3 * side_px**2
    sums = Moments(*(torch.zeros(shape, dtype=torch.float64) for shape in ((1,), (size,), (size, size))))
    for batch in images:
        flat = contrast_normalized(batch.flatten(1).float())
        sums.num_images.add_(len(flat))
        sums.total.add_(flat.sum(dim=0, dtype=torch.float64))
        sums.products.add_(flat.T @ flat)
    return sums


def fitted(sums: Moments) -> tuple[Tensor, Tensor]:
    """Mean `[D]` and matrix `[D, D]`, float32."""
    mean = sums.total / sums.num_images
    covariance = sums.products / sums.num_images - torch.outer(mean, mean)
    variances, directions = torch.linalg.eigh(covariance + FILTER_BIAS * torch.eye(len(mean), dtype=torch.float64))
    return mean.float(), ((directions * variances.rsqrt()) @ directions.T).float()
