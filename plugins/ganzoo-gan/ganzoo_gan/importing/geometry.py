"""Strides, paddings and enlargements of a file's convolutions: usual, said, or asked for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ganzoo.errors import InputError
from ganzoo.importing.layers import Found
from ganzoo_gan.importing import saved_whole
from ganzoo_gan.importing.chain import Questions, can_follow, makes_maps, takes, ways
from ganzoo_gan.importing.config import PlainConfig
from ganzoo_gan.sequential_config import Layer

Geometry = dict[Found, tuple[int, int, int]]
"""Of each convolution its stride, padding and output padding."""


def transposed(body: list[Found], config: PlainConfig, questions: Questions) -> dict[Found, bool]:
    """Which of a generator's convolutions are transposed: those that take what was made before as
    their first dimension, and make what follows of it. Where both are equal, those with even
    kernels, which double the size."""
    convolutions = [module for module in body if module.kind == "conv"]
    _check_number("transposed", config.transposed, convolutions)
    if config.transposed is not None:
        said = [saved_whole.is_transposed(module) for module in convolutions]
        return {
            module: given if here is None else here
            for module, given, here in zip(convolutions, config.transposed, said, strict=True)
        }
    out: dict[Found, bool] = {}
    unclear: list[Found] = []
    widths, is_map = {*body[0].weight[:2]}, body[0].kind == "conv"
    for module, following in [*pairwise(body), (body[-1], None)]:
        made = module.weight[0]
        if module.kind == "conv":
            first, second, kernel, _ = module.weight
            said = saved_whole.is_transposed(module)
            fits = [way for way in ways(module) if takes(module, way[0], widths, is_map)]
            if following is not None:
                fits = [way for way in fits if can_follow(following, way[1])]
            if said is not None:
                out[module] = said
            elif first == second:
                out[module] = module is body[0] or kernel % 2 == 0
                unclear += [] if out[module] else [module]
            else:
                out[module] = (second, first) not in fits or len(fits) > 1
                unclear += [module] if len(fits) > 1 else []
            made = second if out[module] else first
        is_map, widths = makes_maps(module, widths, is_map), {made}
    if unclear:
        example = ",".join(str(answer).lower() for answer in out.values())
        questions.add(
            f"whether {', '.join(module.name for module in unclear)}, which fits both ways, is"
            " transposed",
            f"--set 'transposed=[{example}]', or what its convolutions are",
        )
    return out


def of_generator(
    body: list[Found],
    is_transposed: dict[Found, bool],
    config: PlainConfig,
    questions: Questions,
) -> Geometry:
    """4x4 transposed ones double the size (stride 2, padding 1), the first of all makes a map of
    one pixel (1, 0), and odd kernels of ordinary ones keep the size: of others there are several.
    """
    usual: dict[Found, tuple[int, int] | None] = {}
    for module, transposes in is_transposed.items():
        kernel = module.weight[2]
        if module is body[0]:
            usual[module] = (1, 0)
        elif transposes:
            usual[module] = (2, 1) if kernel == 4 else None
        else:
            usual[module] = (1, kernel // 2) if kernel % 2 else None
    given = (config.strides, config.paddings, config.output_paddings)
    made = _geometry(usual, given, ("strides", "paddings", "output_paddings"), questions)
    # those of odd kernels double the size by it
    grows = [
        module
        for module, (stride, _, _) in made.items()
        if is_transposed[module]
        and usual[module] is None
        and module.said is None
        and module.weight[2] > 1
        and module.weight[2] % 2
        and (stride > 1 or config.strides is None)
    ]
    if grows and config.output_paddings is None:
        example = ",".join("1" if module in grows else "0" for module in usual)
        questions.add(
            f"the output_padding of {', '.join(module.name for module in grows)}",
            f"--set 'output_paddings=[{example}]', or what they are (PyTorch's default is 0)",
        )
    return made


def of_critic(body: list[Found], side: int, config: PlainConfig, questions: Questions) -> Geometry:
    """4x4 ones halve the size, and the last makes one number of 4x4; of an image whose side is no
    power of two, there are several."""
    usual: dict[Found, tuple[int, int] | None] = {}
    whole = side & (side - 1) == 0
    for module in (module for module in body if module.kind == "conv"):
        if module.weight[2] != 4 or not whole:
            usual[module] = None
        else:
            usual[module] = (1, 0) if side == 4 and module is body[-1] else (2, 1)
        side //= 2
    return _geometry(
        usual,
        (config.discriminator_strides, config.discriminator_paddings, None),
        ("discriminator_strides", "discriminator_paddings", "output_paddings"),
        questions,
    )


def _geometry(
    usual: dict[Found, tuple[int, int] | None],
    given: Sequence[tuple[int, ...] | None],
    names: Sequence[str],
    questions: Questions,
) -> Geometry:
    for name, numbers in zip(names, given, strict=True):
        _check_number(name, numbers, list(usual))
    out = {}
    strides, paddings, output_paddings = given
    for k, (module, known) in enumerate(usual.items()):
        said = saved_whole.geometry(module)
        if said is not None:
            out[module] = said
            continue
        if known is None and (strides is None or paddings is None):
            kernels = ", ".join(str(m.weight[2]) for m in usual)
            example = [(known or (2, 1)) for known in usual.values()]
            stride_list, padding_list = (",".join(map(str, each)) for each in zip(*example))
            questions.add(
                f"the strides and paddings of its convolutions (kernels {kernels})",
                f"--set '{names[0]}=[{stride_list}]' --set '{names[1]}=[{padding_list}]', or what"
                " they are",
            )
        stride, padding = known or (1, 0)
        out[module] = (
            stride if strides is None else strides[k],
            padding if paddings is None else paddings[k],
            0 if output_paddings is None else output_paddings[k],
        )
    return out


def enlarged(
    body: list[Found],
    is_transposed: dict[Found, bool],
    config: PlainConfig,
    questions: Questions,
) -> set[Found]:
    """The ordinary convolutions before which the maps are doubled, by a module without tensors.

    An ordinary convolution behind another module may follow one, unless the numbers of an
    nn.Sequential leave no place for it.
    """
    convolutions = list(is_transposed)
    _check_number("upsample", config.upsample, convolutions)
    if config.upsample is not None:
        if not set(config.upsample) <= {1, 2}:
            raise InputError("upsample has other numbers than 1 and 2", "others are not imported")
        given = zip(convolutions, config.upsample, strict=True)
        return {m for m, factor in given if factor == 2 and not _says_what_is_before(body, m)}
    for k, module in enumerate(convolutions):
        if module is body[0] or is_transposed[module] or _has_no_place_before(body, module):
            continue
        example = ",".join("1" if m is body[0] or is_transposed[m] else "2" for m in convolutions)
        questions.add(
            f"whether something without tensors enlarges its maps (before {convolutions[k].name})",
            f"--set 'upsample=[{example}]' (2 where nearest pixels are doubled before the"
            " convolution, else 1)",
        )
        break
    return set()


def _has_no_place_before(body: list[Found], module: Found) -> bool:
    """Whether there is at most the activation between a module and the weighted one before it. (A
    linear layer that makes maps may well be without.)"""
    gaps = [a.modules_until(b) for a, b in _before(body, module)]
    few = None not in gaps and sum(gap or 0 for gap in gaps) <= 1
    return few or _says_what_is_before(body, module)


def _says_what_is_before(body: list[Found], module: Found) -> bool:
    """Whether the file, where modules were saved whole, says whether its maps are doubled."""
    pairs = _before(body, module)
    if any(Layer("upsample") in saved_whole.between(a, b)[0] for a, b in pairs):
        return True
    return bool(pairs) and all(a.said is not None and a.said.followed for a, _ in pairs)


def _before(body: list[Found], module: Found) -> list[tuple[Found, Found]]:
    """The pairs of modules from the weighted one before a module to it."""
    end = body.index(module)
    start = max((k for k in range(end) if body[k].kind != "batch-norm"), default=end)
    return list(pairwise(body[start : end + 1]))


def _check_number(name: str, numbers: tuple[int, ...] | None, of: list[Found]) -> None:
    if numbers is not None and len(numbers) != len(of):
        raise InputError(
            f"{name} has {len(numbers)} numbers for {len(of)} convolutions",
            f"give one for each: {', '.join(module.name for module in of)}",
        )
