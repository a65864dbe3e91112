"""Previews survive kills, readers and compaction."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_assets.resources.store.previews import PreviewPack, compact


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "previews.pack"


@given(previews=st.lists(st.binary(max_size=200), max_size=20))
def test_what_is_appended_is_read_back_after_reopening(
    tmp_path_factory: pytest.TempPathFactory, previews: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("pack") / "previews.pack"
    with PreviewPack(path) as pack:
        addresses = [pack.append(preview) for preview in previews]
        pack.sync()
    with PreviewPack(path, readonly=True) as pack:
        assert [pack.read(*address) for address in addresses] == previews


@pytest.mark.parametrize("torn", [1, 5, 12, 30])
def test_a_torn_tail_is_left_behind_and_appending_goes_on(path: Path, torn: int) -> None:
    with PreviewPack(path) as pack:
        committed = pack.append(b"committed")
        lost = pack.append(b"x" * 100)
    with path.open("rb+") as file:
        file.truncate(lost[0] + torn)
    with PreviewPack(path) as pack:
        later = pack.append(b"later")
        assert pack.read(*committed) == b"committed"
        assert pack.read(*later) == b"later"
        with pytest.raises(ValueError, match="no intact preview"):
            pack.read(*lost)


@pytest.mark.parametrize(("shift", "grow"), [(1, 0), (0, -1), (0, 1), (10_000, 0)])
def test_a_wrong_address_is_noticed(path: Path, shift: int, grow: int) -> None:
    with PreviewPack(path) as pack:
        offset, length = pack.append(b"one preview")
        pack.append(b"another")
        with pytest.raises(ValueError, match="decode the sample again"):
            pack.read(offset + shift, length + grow)


def test_a_changed_byte_is_noticed(path: Path) -> None:
    with PreviewPack(path) as pack:
        offset, length = pack.append(b"one preview")
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        with pytest.raises(ValueError, match="no intact preview"):
            pack.read(offset, length)


def test_a_reader_sees_what_was_appended_after_it_opened(path: Path) -> None:
    with PreviewPack(path) as pack, PreviewPack(path, readonly=True) as reader:
        assert reader.read(*pack.append(b"new")) == b"new"


def test_a_missing_pack_is_not_created_by_a_reader(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PreviewPack(path, readonly=True)


def test_threads_append_without_overlap(path: Path) -> None:
    addresses: dict[bytes, tuple[int, int]] = {}
    with PreviewPack(path) as pack:

        def append(worker: int) -> None:
            for number in range(100):
                preview = f"{worker}:{number}".encode() * (number + 1)
                addresses[preview] = pack.append(preview)

        threads = [threading.Thread(target=append, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(addresses) == 400
        assert all(pack.read(*address) == preview for preview, address in addresses.items())


def test_compaction_keeps_what_is_asked_in_order_and_replaces_a_leftover(path: Path) -> None:
    target = path.with_name("previews-2.pack")
    with PreviewPack(path) as pack:
        addresses = [pack.append(f"preview {number}".encode()) for number in range(10)]
        target.write_bytes(b"left over by a killed compaction")
        kept = [addresses[number] for number in (7, 2, 4)]
        moved = compact(pack, target, kept)
    with PreviewPack(target, readonly=True) as pack:
        assert [pack.read(*address) for address in moved] == [b"preview 7", b"preview 2", b"preview 4"]
        assert target.stat().st_size == sum(length for _, length in moved)
