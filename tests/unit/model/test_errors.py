import importlib
import pkgutil
import re
from collections import Counter

import pytest

import matrixhub
from matrixhub.model.errors import DestinationRefused, MatrixHubError, RecordedDataError, SiteFileError

for module in pkgutil.walk_packages(matrixhub.__path__, "matrixhub."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)


def family(kind: type[MatrixHubError]) -> list[type[MatrixHubError]]:
    return [kind, *(member for child in kind.__subclasses__() for member in family(child))]


ERRORS = family(MatrixHubError)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = Counter(kind.code for kind in ERRORS)
    assert [code for code, times in codes.items() if times > 1] == []
    assert all("code" in vars(kind) for kind in ERRORS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_has_a_sentence_a_code_and_a_status(kind: type[MatrixHubError]) -> None:
    assert re.fullmatch(r"MH-(0000|[CERIBSD]\d{3})", kind.code)
    assert 400 <= kind.status < 600
    assert kind.__doc__
    sentence = kind.__doc__.strip().splitlines()[0]
    assert len(sentence) > 10
    assert sentence.endswith((".", "`."))


def test_the_tree_at_the_top_of_the_module_names_every_stage() -> None:
    import matrixhub.model.errors as module

    letters = set(re.findall(r"MH-([A-Z])(?:…|\d)", module.__doc__ or ""))
    assert letters == {kind.code[3] for kind in ERRORS if kind is not MatrixHubError}


def test_the_docstring_is_the_default_message() -> None:
    for kind in ERRORS:
        if kind is not RecordedDataError:
            assert kind().message == (kind.__doc__ or "").strip().splitlines()[0] or issubclass(kind, SiteFileError)
    assert MatrixHubError("no").message == "no"


def test_errors_in_files_say_where() -> None:
    assert SiteFileError("is missing", path="a.yaml", line=3, field="name").message == "a.yaml:3: name: is missing"
    assert SiteFileError("cannot be read", path="a.yaml").message == "a.yaml: cannot be read"
    assert RecordedDataError("no", path="a.csv", line=7).message == "a.csv:7: no"


def test_what_a_retry_needs_is_an_attribute() -> None:
    error = DestinationRefused("HTTP 429", http_status=429, retry_after_s=5.0)
    assert (error.http_status, error.retry_after_s, error.retry_helps) == (429, 5.0, True)
