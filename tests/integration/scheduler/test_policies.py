"""Policies in the database: versions counted per name, found by name, refused for models they were not measured on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.database import Database
from models.errors import UserError
from scheduler.policies import POLICY, check_measured_on, list_policies, load_evidence, load_policy, save_policy
from scheduler.policy import Policy
from tests.builders import force
from tests.policies import policy

EVIDENCE = {"problems": 12, "intervals": [[0.1, 0.4], [0.2, 0.9]]}


def save(database: Database, name: str, made: Policy, evidence: dict[str, Any] | None = None) -> int:
    with database.transaction() as connection:
        return save_policy(connection, name, made, evidence, database.clock.now(connection))


def load(database: Database, name: str) -> tuple[Policy, str]:
    with database.reading() as connection:
        return load_policy(connection, name)


def refused(database: Database, name: str) -> str:
    with pytest.raises(UserError) as error:
        load(database, name)
    return str(error.value)


def test_versions_are_counted_for_each_name(database: Database) -> None:
    first, second, other = policy(), policy(scoring=0.5), policy(scoring=0.25)
    assert [save(database, "gsm8k", first), save(database, "gsm8k", second), save(database, "math", other)] == [1, 2, 1]
    assert load(database, "gsm8k") == (second, "gsm8k@2")
    assert load(database, "gsm8k@1") == (first, "gsm8k@1")
    assert load(database, "math") == (other, "math@1")
    with database.reading() as connection:
        listed = list_policies(connection)
    assert [(row["name"], row["version"]) for row in listed] == [("gsm8k", 1), ("gsm8k", 2), ("math", 1)]
    assert Policy.model_validate(listed[0]["table"]) == first


def test_the_same_again_is_the_version_that_is_there(database: Database) -> None:
    assert save(database, "gsm8k", policy(), EVIDENCE) == 1
    assert save(database, "gsm8k", policy(), {**EVIDENCE, "intervals": ((0.1, 0.4), (0.2, 0.9))}) == 1
    assert save(database, "gsm8k", policy(), {"problems": 13}) == 2
    assert save(database, "gsm8k", policy(), EVIDENCE) == 3, "only the newest is the same again"


def test_evidence_comes_back_as_it_was(database: Database) -> None:
    save(database, "gsm8k", policy(), EVIDENCE)
    save(database, "by-hand", policy())
    with database.reading() as connection:
        assert load_evidence(connection, "gsm8k@1") == EVIDENCE
        assert load_evidence(connection, "by-hand") is None


def test_two_that_save_at_once_both_get_a_version(database: Database) -> None:
    made = [policy(scoring=n / 8) for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda one: save(database, "gsm8k", one), made))
    assert sorted(versions) == list(range(1, 9))
    assert {n: load(database, f"gsm8k@{n}")[0] for n in versions} == dict(zip(versions, made, strict=True))


def test_a_policy_that_is_not_there_is_a_sentence_that_lists_those_that_are(database: Database) -> None:
    assert refused(database, "gsm8k") == "--policy: there is no policy yet; `tts-jobs calibrate` makes one"
    save(database, "math", policy())
    save(database, "gsm8k", policy())
    save(database, "gsm8k", policy(scoring=0.5))
    for name in ("gsm", "gsm8k@3", "gsm8k@", "gsm8k@one", "gsm8k@-1", "gsm8k@1@1", "@1", "gsm8k@" + "9" * 30, ""):
        assert refused(database, name) == f"--policy: no policy {name!r}; there are gsm8k (versions 1 to 2), math"


@pytest.mark.parametrize("name", ["", "a b", "../policy", "math@1", ".hidden", "a/b", "a\n", "x" * 101])
def test_a_name_must_be_fit_for_a_file(database: Database, name: str) -> None:
    with pytest.raises(UserError, match=r"^--name: .* cannot name a policy"):
        save(database, name, policy())


def test_evidence_that_is_no_json_is_not_kept(database: Database) -> None:
    with pytest.raises(ValueError, match="JSON"):
        save(database, "gsm8k", policy(), {"break_even": float("inf")})


def test_a_policy_of_another_version_is_a_sentence(database: Database) -> None:
    save(database, "gsm8k", policy())
    force(database, POLICY, 1, table={"generator": "fast", "curves": []})
    assert refused(database, "gsm8k").startswith("--policy: gsm8k@1 was kept by another version of tts-jobs")


MEASURED = policy(generator="tiny", generator_identity="a", verifier="tiny-prm", verifier_identity="b")


def test_the_models_that_it_was_measured_on_may_follow_it() -> None:
    check_measured_on(MEASURED, "a", "b")
    check_measured_on(policy(), "instant::instant", None)


@pytest.mark.parametrize(
    ("measured", "generator", "verifier", "part"),
    [
        (MEASURED, "c", "b", "measured on the generator 'tiny', and the job's generator is another"),
        (MEASURED, "a", "c", "measured with the verifier 'tiny-prm', and the job's verifier is another"),
        (MEASURED, "a", None, "measured with the verifier 'tiny-prm', and the job's verifier is another"),
        (policy(), "instant::instant", "b", "measured without a verifier, and the job's verifier is another"),
    ],
)
def test_other_models_are_refused_unless_told(
    measured: Policy, generator: str, verifier: str | None, part: str
) -> None:
    with pytest.raises(UserError) as error:
        check_measured_on(measured, generator, verifier)
    said = str(error.value)
    assert said.startswith("--policy: ")
    assert part in said
    assert said.endswith("add --policy-anyway")
    check_measured_on(measured, generator, verifier, forced=True)
