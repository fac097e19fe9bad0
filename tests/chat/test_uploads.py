"""The file in a body, however a client packs it."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from roost.chat.uploads import uploaded

FORM = "multipart/form-data; boundary=b0undary"


def form(*parts: tuple[str, bytes], boundary: str = "b0undary") -> bytes:
    """Parts of (the rest of their disposition, data)."""
    pieces = [f"--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data for head, data in parts]
    return b"\r\n".join([*pieces, f"--{boundary}--\r\n".encode()])


def test_the_first_file_is_taken_whatever_its_field_is_called() -> None:
    body = form(
        ('name="filename"', b"not this"),
        ('name="body"; filename="Untitled"\r\nContent-Type: application/octet-stream', b"this"),
        ('name="file"; filename="second"', b"nor this"),
    )
    assert uploaded(FORM, body) == b"this"


@pytest.mark.parametrize(
    "content_type",
    [
        "Multipart/Form-Data; BOUNDARY=b0undary",
        'multipart/form-data; boundary="b0undary"',
        "multipart/form-data; charset=utf-8; boundary=b0undary; x=y",
        "multipart/form-data;boundary=b0undary",
    ],
)
def test_the_boundary_is_found(content_type: str) -> None:
    assert uploaded(content_type, form(("name=f; filename*=UTF-8''x", b"data"))) == b"data"


def test_a_file_may_be_empty_and_may_hold_what_looks_like_a_form() -> None:
    assert uploaded(FORM, form(("name=f; filename=x", b""))) == b""
    inner = form(("name=f; filename=y", b"inner"), boundary="other")
    assert uploaded(FORM, form(("name=f; filename=x", inner))) == inner


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "application/json", "", "multipart/mixed"]
)
def test_any_other_body_is_the_file(content_type: str) -> None:
    assert uploaded(content_type, b"a=b&c") == b"a=b&c"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_form_that_was_cut_off_holds_no_file(cut: int) -> None:
    body = form(("name=f; filename=x", b"data"))
    assert uploaded(FORM, body[: -cut - len(b"--\r\n") - len("b0undary")]) is None


@given(data=st.binary(max_size=2000), boundary=st.text("abcXYZ019'()+_,-./:=?", min_size=1, max_size=70))
def test_every_file_comes_out_as_it_went_in(data: bytes, boundary: str) -> None:
    assume(b"\r\n--" + boundary.encode() not in b"\r\n" + data)
    body = form(("name=text", b"x"), ("name=f; filename=x", data), boundary=boundary)
    assert uploaded(f'multipart/form-data; boundary="{boundary}"', body) == data


@given(
    st.binary(max_size=300), st.lists(st.sampled_from([b"--b0undary", b"\r\n", b"filename=", b"content-disposition:;"]))
)
def test_nothing_makes_it_fail(noise: bytes, pieces: list[bytes]) -> None:
    body = noise.join(pieces)
    found = uploaded(FORM, body)
    assert found is None or found in body
