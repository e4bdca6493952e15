import pytest

from tests.reporting.scenes import findings_of


def test_what_detections_say() -> None:
    findings = findings_of("cat", "dog")
    assert findings.names == ["cat", "dog"]
    # Two of two cats, with a third at a score of 0.6 on a dog; no dog.
    assert findings.evaluation.summary["AP50"] == pytest.approx(0.5)
    assert findings.threshold == 0.61
    assert findings.outcomes.total(findings.threshold) == (2, 0, 2)
    assert findings.confusion.tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 0]]
    assert findings.errors.errors["missed"].count == 1
    assert findings.objects == {"all": 4, "small": 4, "medium": 0, "large": 0}
