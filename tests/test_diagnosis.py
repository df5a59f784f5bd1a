"""The rules that say where a model's time goes, on plain numbers."""

import pytest

from scenarios import diagnosis
from scenarios.diagnosis import group, plain, where_it_goes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aten::addmm", "linear layers"),
        ("aten::_addmm_activation", "linear layers"),
        ("aten::mm", "linear layers"),
        ("aten::bmm", "batched matrix products"),
        ("aten::mkldnn_convolution", "convolutions"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::native_layer_norm", "normalisation"),
        ("aten::normal_", "random numbers"),
        ("aten::copy_", "copies"),
        ("cudaLaunchKernel", "kernel launches"),
        ("cudaStreamSynchronize", "waiting for the device"),
        ("mine::special", "special"),
        ("void at::native::thing<float, 4>(int)", "void at::native::thing<float, 4>(int)"),
    ],
)
def test_operators_are_grouped_by_what_they_do(name: str, words: str) -> None:
    assert group(name) == words


def test_only_a_librarys_name_is_left_out() -> None:
    assert plain("aten::mm") == "mm"
    assert plain("void at::native::f(int)") == "void at::native::f(int)"


def test_the_group_that_takes_most_is_named() -> None:
    shares = {"aten::bmm": 0.4, "aten::mm": 0.3, "aten::addmm": 0.25}
    words, share, members = where_it_goes(shares)
    assert (words, members) == ("linear layers", {"mm": 0.3, "addmm": 0.25})
    assert share == pytest.approx(0.55)


def test_loading_is_worth_a_sentence_from_a_fifth() -> None:
    assert diagnosis.loading(0.19) is None
    assert diagnosis.loading(0.31) == (
        "Making the inputs takes 31% of a call: load ahead, in other threads or processes."
    )


@pytest.mark.parametrize(
    ("busy", "copying", "host", "waiting", "load", "said"),
    [
        (0.92, 0.02, 0.95, 0.5, 0.0, "busy 92% of the time: it is what limits"),
        (0.30, 0.40, 0.50, 0.3, 0.0, "computes 30% of the time and copies 40%"),
        (
            0.55,
            0.02,
            0.95,
            0.1,
            0.0,
            "idle 43% of the time: launches (300 a call, 8.0 µs each) and the host hold it up",
        ),
        (0.55, 0.02, 0.95, 0.1, 0.3, "idle 43% of the time: it waits for inputs"),
        (0.55, 0.02, 0.60, 0.3, 0.0, "idle 43% of the time: the host is outside PyTorch then"),
        (0.00, 0.00, 0.95, 0.0, 0.0, "idle 100% of the time: launches"),
    ],
)
def test_an_idle_device_is_held_up_by_something(
    busy: float, copying: float, host: float, waiting: float, load: float, said: str
) -> None:
    assert said in diagnosis.device_use(busy, copying, host, waiting, load, 300, 8000)


def test_a_host_that_waits_does_not_hold_the_device_up() -> None:
    assert diagnosis.launch_bound(busy=0.5, host=0.9, waiting=0.3)
    assert not diagnosis.launch_bound(busy=0.5, host=0.9, waiting=0.4)


def test_a_processor_is_used_or_not() -> None:
    assert diagnosis.processor_use(0.95, 1) == "Its thread is busy 95% of the time: the processor is what limits."
    assert "other work holds the processor" in diagnosis.processor_use(0.5, 1)
    assert diagnosis.processor_use(0.55, 2).startswith("Its 2 threads are busy only 55% of the time: fewer threads")


def test_time_outside_operators() -> None:
    assert diagnosis.outside(0.85) is None
    assert str(diagnosis.outside(0.6)).startswith("40% of the time passes outside operators, in Python")


def test_memory_is_suspected_only_where_flop_and_bytes_are_known() -> None:
    # One token through a layer: two FLOP for each weight of four bytes.
    told = diagnosis.memory_bound("aten::addmm", 2_000_000, 4_000_000)
    assert str(told).startswith("addmm does at most 0.5 FLOP for each byte that it reads: memory probably limits it")
    assert diagnosis.memory_bound("aten::addmm", 32_000_000, 4_000_000) is None
    assert diagnosis.memory_bound("aten::addmm", None, 4_000_000) is None
    assert diagnosis.memory_bound("aten::addmm", 2_000_000, None) is None


def test_larger_batches_pay_where_the_time_grows_more_slowly() -> None:
    assert diagnosis.scaling(1, 10.0, 8, 32.0) == (
        "A batch of 8 takes 3.2 times as long as one of 1, 60% less for each item: larger batches help."
    )
    assert diagnosis.scaling(1, 10.0, 8, 72.0) == (
        "A batch of 8 takes 7.2 times as long as one of 1: larger batches gain little."
    )
    assert diagnosis.scaling(8, 10.0, 8, 10.0) is None
