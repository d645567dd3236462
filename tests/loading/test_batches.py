import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from images import jpeg_bytes, photo
from PIL import Image

from ilsvrc.loading import batches, contract, views
from ilsvrc.loading.batches import open_testing, open_training
from ilsvrc.loading.random_crops import CropPolicy
from ilsvrc.packing import c_extension

LOADERS = ("ffcv", "pillow")
needs_ffcv = pytest.mark.skipif(find_spec("ffcv") is None, reason="FFCV is not installed")
FIVE = [views.View(37, 32, anchor) for anchor in ((0, 0), (2, 0), (0, 2), (2, 2), (1, 1))]
MANY = [*FIVE, views.View(48, 32, (2, 1), "rectangle"), views.View(32, 32), views.View(48, 32, (0, 1), "rectangle")]


LOOKS = {
    "rectangle": CropPolicy("rectangle", 32, short_side_px=(32, 60)),
    "filters": CropPolicy("area_aspect", 32, aspect_draw="uniform", interpolation="random"),
    "enlarged": CropPolicy("patch", 32, short_side_px=(60, 90), interpolation="random"),
    "odd": CropPolicy("area_aspect", 43, area=(0.01, 1.0), interpolation="random"),
    "padding": CropPolicy("padding", 32, fill=(1, 2, 3)),
    "stored": CropPolicy("padding", 40, padding_px=12, interpolation="random"),
    "reflect": CropPolicy("padding", 37, padding_px=5, padding="reflect"),
    "center": CropPolicy("center", 32, short_side_px=(32, 32), flip=False),
}


def train(loader: str, beton: Path, epoch: int = 0, start_step: int = 0, **options: object) -> list[batches.Batch]:
    options = {"crop": "area_aspect", "crop_px": 32, "flip": True, "batch_size": 12, "seed": 5} | options
    opened = open_training(loader, beton, **options)
    found = list(opened.epoch(epoch, start_step))
    opened.close()
    return found


def predict(loader: str, beton: Path, shown=FIVE, batch_size: int = 16, **options: object) -> batches.Batch:
    opened = open_testing(loader, beton, views=shown, batch_size=batch_size, **options)
    found = [torch.cat(parts) for parts in zip(*opened, strict=True)]
    opened.close()
    return batches.Batch(*found)


def equal(one: batches.Batch, other: batches.Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("crop", ["patch", "area_aspect", "center"])
@pytest.mark.parametrize("form", ["jpeg_beton", "raw_beton"])
def test_ffcv_and_pillow_give_the_same_training_batches(request, form: str, crop: str):
    beton = request.getfixturevalue(form)
    ours, theirs = (train(loader, beton, crop=crop, workers=2) for loader in LOADERS)
    assert len(ours) == len(theirs) == 4
    assert all(equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert ours[0].images.shape == (12, 32, 32, 3)
    assert [t.dtype for t in ours[0]] == [torch.uint8, *4 * [torch.int64]]


@pytest.mark.parametrize("policy", LOOKS, ids=LOOKS)
@pytest.mark.parametrize("form", ["jpeg_beton", "raw_beton"])
def test_ffcv_and_pillow_show_the_same_looks(request, form: str, policy: str):
    beton = request.getfixturevalue(form)
    ours, theirs = (train(loader, beton, policy=LOOKS[policy], workers=2) for loader in LOADERS)
    assert all(equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert sum(len(batch.images) for batch in ours) == 48


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("padding", ["zero", "reflect"])
def test_padded_windows_are_cut_from_numpys_padded_images(packer, loader: str, padding: str):
    images = [photo(i).crop((0, 0, 33, 33)) for i in range(24)]
    beton, _ = packer([jpeg_bytes(image, format="PNG") for image in images], encoding="raw")
    policy = CropPolicy("padding", 33, padding=padding, fill=(9, 80, 200))
    (batch,) = train(loader, beton, policy=policy, batch_size=24)
    for shown, index, (_, _, left, top, mirrored) in zip(
        batch.images, batch.indices, batch.boxes.tolist(), strict=True
    ):
        padded = np.full((41, 41, 3), policy.fill, np.uint8)
        padded[4:37, 4:37] = images[index]
        if padding == "reflect":
            padded = np.pad(np.asarray(images[index]), ((4, 4), (4, 4), (0, 0)), mode="reflect")
        window = padded[top + 4 : top + 37, left + 4 : left + 37]
        assert (shown.numpy() == (window[:, ::-1] if mirrored else window)).all()
    assert {mirrored for *_, mirrored in batch.boxes.tolist()} == {0, 1}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("crop", ["patch", "rectangle"])
def test_windows_say_where_a_crop_lies_in_the_image_that_pillow_resizes(packer, loader: str, crop: str):
    images = [photo(i) for i in range(24)]
    beton, _ = packer([jpeg_bytes(image, format="PNG") for image in images], encoding="raw")
    policy = CropPolicy(crop, 32, short_side_px=(32, 48), interpolation="random")
    (batch,) = train(loader, beton, policy=policy, batch_size=24)
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
    used = set()
    for shown, index, window in zip(batch.images, batch.indices, batch.boxes.tolist(), strict=True):
        width, height, left, top, mirrored = window
        cuts = [images[index].resize((width, height), kind).crop((left, top, left + 32, top + 32)) for kind in filters]
        found = [(np.asarray(cut)[:, :: -1 if mirrored else 1] == shown.numpy()).all() for cut in cuts]
        assert any(found)
        used.add(found.index(True))
    assert len(batch.boxes[:, :2].unique(dim=0)) > 10
    assert used == {0, 1, 2, 3}


@pytest.mark.parametrize("loader", [*LOADERS, "synthetic"])
def test_repeated_images_come_once_in_each_part_of_a_batch(jpeg_beton, loader: str):
    found = train(loader, jpeg_beton, repeats=3)
    assert len(found) == 4
    for batch in found:
        assert batch.repeat_index.tolist() == 4 * [0] + 4 * [1] + 4 * [2]
        parts = batch.indices.view(3, 4)
        assert (parts == parts[0]).all()
        assert (batch.labels == batch.indices % 3).all()
        assert len({tuple(window) for window in batch.boxes.tolist()}) == 2  # mirrored or not
    shown = torch.cat([batch.indices for batch in found]).tolist()
    assert len(set(shown)) == 16


def test_copies_of_an_image_are_cropped_anew_and_the_first_as_without_them(jpeg_beton):
    found = train("ffcv", jpeg_beton, repeats=3)
    alone = {int(i): image for batch in train("ffcv", jpeg_beton) for i, image in zip(batch[2], batch[0], strict=True)}
    for batch in found:
        first, second, third = batch.images.view(3, 4, 32, 32, 3)
        for index, *copies in zip(batch.indices[:4].tolist(), first, second, third, strict=True):
            assert not torch.equal(copies[0], copies[1]) and not torch.equal(copies[1], copies[2])
            assert torch.equal(copies[0], alone[index])


def test_a_batch_without_repeats_has_first_copies_only(jpeg_beton):
    assert all((batch.repeat_index == 0).all() for batch in train("ffcv", jpeg_beton))


@pytest.mark.parametrize("form", ["jpeg_beton", "raw_beton"])
def test_ffcv_and_pillow_give_the_same_views(request, form: str):
    beton = request.getfixturevalue(form)
    ours, theirs = (predict(loader, beton, MANY) for loader in LOADERS)
    assert equal(ours, theirs)
    assert ours.images.shape == (53, 8, 32, 32, 3)


@pytest.mark.parametrize("loader", LOADERS)
def test_the_central_view_of_a_raw_image_is_pillows(packer, loader: str):
    beton, _ = packer([jpeg_bytes(photo(i), format="PNG") for i in range(8)], encoding="raw")
    shown = predict(loader, beton, [views.View(37, 32)])
    place = views.view_box(views.View(37, 32), 64, 48)
    resized = np.asarray(photo(0).resize((place.width, place.height), Image.Resampling.BILINEAR))
    expected = resized[place.top : place.top + 32, place.left : place.left + 32]
    assert (shown.images[0, 0].numpy() == expected).all()


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("world_size", "repeats"), [(2, 1), (3, 1), (2, 3), (4, 3), (5, 2)])
def test_global_batches_are_the_same_for_any_number_of_processes(jpeg_beton, loader, world_size: int, repeats: int):
    alone = train(loader, jpeg_beton, repeats=repeats)
    ranks = [train(loader, jpeg_beton, rank=rank, world_size=world_size, repeats=repeats) for rank in range(world_size)]
    for step, whole in enumerate(alone):
        parts = zip(*(rank[step] for rank in ranks), strict=True)
        assert equal(whole, batches.Batch(*(torch.cat(part) for part in parts)))


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_image_is_tested_exactly_once(jpeg_beton, loader: str, world_size: int):
    ranks = [predict(loader, jpeg_beton, rank=rank, world_size=world_size) for rank in range(world_size)]
    indices = torch.cat([rank.indices for rank in ranks])
    assert sorted(indices.tolist()) == list(range(53))
    assert all((rank.labels == rank.indices % 3).all() for rank in ranks)


@pytest.mark.parametrize("loader", LOADERS)
def test_batches_do_not_depend_on_workers(jpeg_beton, loader: str):
    one, two = (train(loader, jpeg_beton, workers=workers) for workers in (1, 2))
    assert all(equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("loader", LOADERS)
def test_an_images_crop_does_not_depend_on_its_batch(jpeg_beton, loader: str):
    small, large = (train(loader, jpeg_beton, batch_size=size) for size in (4, 26))
    by_index = {int(i): image for batch in small for i, image in zip(batch.indices, batch.images, strict=True)}
    common = [(i, image) for batch in large for i, image in zip(batch.indices, batch.images, strict=True)]
    assert all(torch.equal(by_index[int(i)], image) for i, image in common if int(i) in by_index)


@pytest.mark.parametrize("loader", LOADERS)
def test_an_epoch_resumed_at_a_step_goes_on_as_it_would_have(jpeg_beton, loader: str):
    whole, rest = train(loader, jpeg_beton, epoch=4), train(loader, jpeg_beton, epoch=4, start_step=2)
    assert len(rest) == 2
    assert all(equal(a, b) for a, b in zip(whole[2:], rest, strict=True))


def test_epochs_and_seeds_differ_in_order_and_in_crops(jpeg_beton):
    first = train("ffcv", jpeg_beton)
    for other in (train("ffcv", jpeg_beton, epoch=1), train("ffcv", jpeg_beton, seed=6)):
        assert not torch.equal(first[0].indices, other[0].indices)
    images = [{int(i): x for b in run for i, x in zip(b.indices, b.images, strict=True)} for run in (first, other)]
    shared = images[0].keys() & images[1].keys()
    assert sum(torch.equal(images[0][i], images[1][i]) for i in shared) < 3


@pytest.mark.parametrize("loader", LOADERS)
def test_a_subset_is_all_that_is_seen(jpeg_beton, loader: str):
    subset = np.array([40, 2, 7, 11, 30])
    seen = train(loader, jpeg_beton, batch_size=5, subset=subset)
    assert [sorted(batch.indices.tolist()) for batch in seen] == [[2, 7, 11, 30, 40]]
    assert predict(loader, jpeg_beton, subset=subset).indices.tolist() == subset.tolist()


def test_the_last_partial_batch_is_dropped_in_training(jpeg_beton):
    opened = open_training("pillow", jpeg_beton, crop="center", crop_px=32, flip=False, batch_size=20, seed=0)
    assert (opened.num_images, len(opened)) == (53, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 54}, "batch_size = 54 must lie between the number of processes"),
        ({"batch_size": 2, "world_size": 3}, "batch_size = 2 must lie between"),
        ({"subset": np.array([1, 1])}, "names each image once"),
        ({"subset": np.array([53])}, "names each image once, 0 to 52"),
        ({"repeats": 5}, "batch_size = 12 is not a multiple of repeats = 5"),
        ({"loader": "webdataset"}, "there is no loader 'webdataset', only auto, ffcv, pillow, synthetic"),
    ],
)
def test_what_cannot_be_loaded_says_why(jpeg_beton, options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        train(**{"loader": "pillow", "beton": jpeg_beton} | options)


def test_views_of_several_sizes_are_no_batch(jpeg_beton):
    with pytest.raises(ValueError, match=r"these have 32, 40"):
        open_testing("pillow", jpeg_beton, views=[views.View(37, 32), views.View(46, 40)], batch_size=4)


def test_batches_hold_their_own_memory(jpeg_beton):
    opened = open_training("ffcv", jpeg_beton, crop="patch", crop_px=32, flip=True, batch_size=4, seed=0)
    held, copies = [], []
    for batch in opened.epoch(0):
        held.append(batch)
        copies.append(batch.images.clone())
    opened.close()
    assert len(held) == 13
    assert all(torch.equal(batch.images, copy) for batch, copy in zip(held, copies, strict=True))


def test_synthetic_batches_have_the_files_labels_and_order(jpeg_beton):
    noise, real = train("synthetic", jpeg_beton), train("ffcv", jpeg_beton)
    assert all(
        torch.equal(a.indices, b.indices) and torch.equal(a.labels, b.labels) for a, b in zip(noise, real, strict=True)
    )
    assert noise[0].images.shape == real[0].images.shape
    assert torch.equal(noise[0].images, noise[1].images)


def damaged(beton: Path, folder: Path, index: int) -> Path:
    packed = batches.open_packed(beton)
    content = bytearray(beton.read_bytes())
    middle = int(packed.offsets[index] + packed.sizes[index] * 2 // 3)
    end = int(packed.offsets[index] + packed.sizes[index]) - 2
    content[middle:end] = bytes(end - middle)
    path = folder / "damaged.beton"
    path.write_bytes(content)
    return path


@needs_ffcv
def test_a_damaged_image_is_named_and_nothing_hangs(jpeg_beton, tmp_path):
    with pytest.raises(ValueError, match=r"damaged\.beton is damaged: image 17: libjpeg-turbo cannot decode it"):
        predict("ffcv", damaged(jpeg_beton, tmp_path, 17))


@pytest.mark.parametrize("workers", [1, 2])
def test_pillow_names_an_image_that_it_cannot_decode(jpeg_beton, tmp_path, workers: int):
    packed = batches.open_packed(jpeg_beton)
    content = bytearray(jpeg_beton.read_bytes())
    start = int(packed.offsets[3])
    content[start + 2 : start + 400] = bytes(398)
    path = tmp_path / "damaged.beton"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: image 3: Pillow cannot decode it"):
        predict("pillow", path, workers=workers)


@needs_ffcv
def test_without_the_compiled_kernels_ffcv_says_what_to_do(jpeg_beton, monkeypatch):
    monkeypatch.setattr(c_extension, "function", lambda name, *arguments: None)
    with pytest.raises(contract.LoaderMissingError, match=r"kernels in C are not compiled.*`make setup`"):
        train("ffcv", jpeg_beton)


@needs_ffcv
def test_auto_is_ffcv_where_it_can_be_used_and_else_pillow_which_is_said_once(jpeg_beton, monkeypatch, capsys):
    sources = [open_training("auto", jpeg_beton, crop="patch", crop_px=32, flip=True, batch_size=12, seed=0)]
    monkeypatch.setattr(c_extension, "function", lambda name, *arguments: None)
    contract._tell_once.cache_clear()
    for _ in range(2):
        sources.append(open_training("auto", jpeg_beton, crop="patch", crop_px=32, flip=True, batch_size=12, seed=0))
    first, second = (next(opened.epoch(0)).images for opened in sources[:2])
    assert [type(opened.source).__name__ for opened in sources] == ["FfcvSource", "PillowSource", "PillowSource"]
    assert torch.equal(first, second)
    assert capsys.readouterr().err.count("The Pillow loader reads the same files") == 1
    for opened in sources:
        opened.close()


@needs_ffcv
def test_an_error_in_ffcvs_thread_reaches_the_caller(jpeg_beton, monkeypatch):
    from ilsvrc.loading import ffcv_loader

    def fails(*arguments):
        raise RuntimeError("from the thread")

    monkeypatch.setattr(ffcv_loader.CropDecoder, "show", fails)
    with pytest.raises(RuntimeError, match="from the thread"):
        train("ffcv", jpeg_beton)


def test_an_epoch_left_in_the_middle_ends_its_thread(jpeg_beton):
    before = threading.active_count()
    opened = open_training("ffcv", jpeg_beton, crop="patch", crop_px=32, flip=True, batch_size=4, seed=0)
    for _ in range(8):
        next(opened.epoch(0))
    assert threading.active_count() <= before + 1
    opened.close()
    assert threading.active_count() == before


def test_a_new_epoch_ends_the_one_before(jpeg_beton):
    opened = open_training("ffcv", jpeg_beton, crop="patch", crop_px=32, flip=True, batch_size=4, seed=0)
    old, new = opened.epoch(0), opened.epoch(1)
    next(new)
    with pytest.raises(RuntimeError, match="another epoch"):
        next(old)
    opened.close()


def test_two_loaders_run_side_by_side(jpeg_beton, raw_beton):
    options = {"crop": "patch", "crop_px": 32, "flip": True, "batch_size": 4, "seed": 0, "workers": 2}
    opened = [open_training("ffcv", beton, **options) for beton in (jpeg_beton, raw_beton)]
    both = list(zip(*(one.epoch(0) for one in opened), strict=True))
    assert len(both) == 13
    assert all(torch.equal(a.indices, b.indices) for a, b in both)
    for one in opened:
        one.close()


def test_torchs_threads_and_random_numbers_are_left_alone(jpeg_beton):
    torch.set_num_threads(2)
    torch.manual_seed(0)
    expected = torch.random.get_rng_state()
    for loader in LOADERS:
        train(loader, jpeg_beton, workers=1)
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.random.get_rng_state(), expected)


def test_more_workers_than_cores_are_fewer_workers(jpeg_beton):
    assert len(train("ffcv", jpeg_beton, workers=1000)) == 4


STOCK = """
import sys
import torch
from ffcv.fields.rgb_image import CenterCropRGBImageDecoder
from ffcv.loader import Loader
from ffcv.transforms import ToTensor
for beton, result in zip(sys.argv[1::2], sys.argv[2::2]):
    pipelines = {"image": [CenterCropRGBImageDecoder((32, 32), 1.0), ToTensor()]}
    loader = Loader(beton, batch_size=53, num_workers=1, drop_last=False, pipelines=pipelines)
    torch.save(next(iter(loader)), result)
"""


@pytest.fixture(scope="module")
def stock(jpeg_beton, raw_beton, tmp_path_factory) -> dict[str, Path]:
    """What FFCV's own loader gives of both files, by a process of its own: it marks numba's types."""
    folder = tmp_path_factory.mktemp("stock")
    found = {"jpeg_beton": folder / "jpeg.pt", "raw_beton": folder / "raw.pt"}
    words = [str(jpeg_beton), str(found["jpeg_beton"]), str(raw_beton), str(found["raw_beton"])]
    subprocess.run([sys.executable, "-c", STOCK, *words], check=True, capture_output=True)
    return found


@needs_ffcv
@pytest.mark.parametrize("form", ["jpeg_beton", "raw_beton"])
def test_ffcvs_own_loader_and_decoders_read_the_file(request, stock, form: str):
    images, labels = torch.load(stock[form])
    assert labels.flatten().tolist() == [i % 3 for i in range(53)]
    ours = predict("ffcv", request.getfixturevalue(form), [views.View(32, 32)])
    # theirs: fast DCT and INTER_AREA of the central square
    assert (images.float() - ours.images[:, 0].float()).abs().mean() < 12


WITHOUT = """
import sys
sys.modules["ffcv"] = None
sys.modules["numba"] = None
from ilsvrc.loading import batches
from ilsvrc.packing import writer
options = dict(crop="patch", crop_px=32, flip=True, batch_size=12, seed=0)
opened = batches.open_training("auto", sys.argv[1], **options)
print(next(opened.epoch(0)).images.shape)
try:
    batches.open_training("ffcv", sys.argv[1], **options)
except ValueError as error:
    print(error)
"""


def test_without_ffcv_and_numba_pillow_reads_and_ffcv_says_what_to_do(jpeg_beton):
    run = subprocess.run([sys.executable, "-c", WITHOUT, str(jpeg_beton)], capture_output=True, text=True, check=True)
    assert "torch.Size([12, 32, 32, 3])" in run.stdout
    assert "`make setup` or `pip install 'ilsvrc[ffcv]'`" in run.stdout
