import pytest

from mnv2_dense.benchmarking.training import subjects
from mnv2_dense.benchmarking.training.subjects import Subject, make_subject
from tests.benchmarking.training.tiny import TINY


@pytest.fixture(scope="session", params=["detection", "segmentation"])
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A tiny network of either task with its batch, not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects, "SETTINGS", TINY)
        return make_subject(request.param, None, tmp_path_factory.mktemp("subject"))
