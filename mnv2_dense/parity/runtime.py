"""The TFLite runtime as a network: pictures in, any tensor of the file out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mnv2_dense.errors import UserError
from mnv2_dense.importing.graph import Graph
from mnv2_dense.importing.pictures import read_preparation
from mnv2_dense.importing.steps import Steps
from mnv2_dense.importing.tflite import read_tflite, tensor_indices
from mnv2_dense.prediction.litert_engine import quiet_runtime
from mnv2_dense.structures import ImageSize

_BYTES = {np.dtype(np.uint8): 0.0, np.dtype(np.int8): 128.0}
"""What a byte of a picture is larger by than the input's value, by type of the input."""


class Rounding(NamedTuple):
    """Of a quantised tensor: the distance of its values, the least and the largest."""

    step: float
    low: float
    high: float


class Runtime:
    """A .tflite file, run by TensorFlow Lite's own interpreter.

    Args:
        path: The file.
        mean: Of the normalisation, RGB 0-255, as our network's config has it.
        std: The same.
        threads: Of the interpreter.
        every_tensor: Keep the values of all tensors, and run without the faster delegate, which
            would hide those inside of it. Otherwise `tensor` gives the file's outputs only.

    Attributes:
        graph: The file, as it is imported.
        size: Of the pictures that it takes.

    Raises:
        UserError: The runtime is not installed, or cannot run the file.
    """

    def __init__(
        self,
        path: Path,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        threads: int = 1,
        every_tensor: bool = True,
    ) -> None:
        self.path = path
        self.graph = read_tflite(path)
        self._mean, self._std = (np.array(each, dtype=np.float32) for each in (mean, std))
        self._interpreter = _open(path, threads, every_tensor)
        details = self._interpreter.get_tensor_details()
        self._details: dict[int, Any] = {each["index"]: each for each in details}
        self._names = tensor_indices(path)
        self._input = _single_input(self._interpreter, path)
        self.size = ImageSize(*(int(side) for side in self._input["shape"][1:3]))
        self._takes_raw = _normalises(self.graph)

    def run(self, picture: np.ndarray) -> None:
        """Runs the network on a picture [*size, 3] of RGB values 0-255."""
        self.feed((picture.astype(np.float32) - self._mean) / self._std)

    def feed(self, normalized: np.ndarray) -> np.ndarray:
        """Runs the network on a normalised picture [*size, 3].

        Returns:
            The same picture as the file sees it: rounded to bytes where its input is of bytes.

        Raises:
            UserError: The picture is of another size than the file's input.
        """
        if normalized.shape[:2] != self.size:
            given = "x".join(map(str, normalized.shape[:2]))
            raise UserError(
                f"{self.path}: takes pictures of {self.size.height}x{self.size.width}, and our "
                f"network is shown {given}; keep input.height and input.width as imported, and one "
                "scale"
            )
        dtype = np.dtype(self._input["dtype"])
        raw = normalized * self._std + self._mean
        if dtype in _BYTES:
            raw = np.clip(np.rint(raw), 0, 255)
            seen, values = (raw - self._mean) / self._std, (raw - _BYTES[dtype]).astype(dtype)
        else:
            seen, values = normalized, (raw if self._takes_raw else normalized)
        self._interpreter.set_tensor(self._input["index"], values[None].astype(dtype))
        with quiet_runtime(), _explained(self.path):
            self._interpreter.invoke()
        return seen.astype(np.float32)

    def tensor(self, name: str) -> np.ndarray:
        """A tensor's values after a run, float32, dequantised where the file is quantised."""
        index = self._names[name]
        values = self._interpreter.get_tensor(index)
        parameters = self._details[index]["quantization_parameters"]
        scales, zeros = parameters["scales"], parameters["zero_points"]
        if len(scales) != 1 or values.dtype.kind == "f":
            return values.astype(np.float32)
        return (values.astype(np.float32) - np.float32(zeros[0])) * np.float32(scales[0])

    def rounding(self, name: str) -> Rounding | None:
        """How a tensor's values are rounded; None where they are not."""
        details = self._details[self._names[name]]
        parameters = details["quantization_parameters"]
        if len(parameters["scales"]) != 1 or np.dtype(details["dtype"]).kind == "f":
            return None
        step, zero = float(parameters["scales"][0]), int(parameters["zero_points"][0])
        ends = np.iinfo(details["dtype"])
        return Rounding(step, step * (int(ends.min) - zero), step * (int(ends.max) - zero))


def _open(path: Path, threads: int, every_tensor: bool) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as error:
        raise UserError(
            "running a .tflite file needs ai-edge-litert, pip install 'mnv2-dense[tflite]'"
        ) from error
    options: dict[str, Any] = {"num_threads": threads}
    if every_tensor:
        options["experimental_preserve_all_tensors"] = True
        options["experimental_op_resolver_type"] = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with quiet_runtime(), _explained(path):
        interpreter = Interpreter(model_path=str(path), **options)
        interpreter.allocate_tensors()
    return interpreter


def _single_input(interpreter: Any, path: Path) -> Any:
    """The one input, of pictures [1, height, width, 3].

    Raises:
        UserError: There is another number of inputs, or it is of another form.
    """
    inputs = interpreter.get_input_details()
    shapes = [tuple(int(side) for side in each["shape"]) for each in inputs]
    dtypes = [np.dtype(each["dtype"]) for each in inputs]
    if (
        [len(shape) for shape in shapes] == [4]
        and shapes[0][::3] == (1, 3)
        and (dtypes[0] in _BYTES or dtypes[0] == np.float32)
    ):
        return inputs[0]
    found = ", ".join(f"{shape} of {dtype}" for shape, dtype in zip(shapes, dtypes, strict=True))
    raise UserError(
        f"{path}: takes {found}; one input (1, height, width, 3) of uint8, int8 or float32 is run"
    )


def _normalises(graph: Graph) -> bool:
    """Whether pictures are fed as they are, and normalised in the file."""
    steps = Steps(graph)
    return not read_preparation(graph, steps.stem_input, steps.constants).assumed


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path}: the TFLite runtime cannot run it: {error}") from error
