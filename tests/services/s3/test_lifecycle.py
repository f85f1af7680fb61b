"""Lifecycle rules over days that pass at once (B5)."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.s3.locks import DAY_MS
from tests.services.s3.clocked import Clocked, refused, timed

BIG = b"x" * 200_000


def test_objects_expire_by_days_at_midnight() -> None:
    async def work(s3: Clocked) -> None:
        await s3.days(0.1)
        await s3.put("logs/a")
        await s3.put("keep/a")
        await s3.rules({"Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 2}})
        await s3.days(1.5)
        assert await s3.keys() == ["keep/a", "logs/a"]
        await s3.put("logs/b")
        await s3.days(1)  # two days are over, midnight has not come
        assert await s3.keys() == ["keep/a", "logs/a", "logs/b"]
        await s3.days(0.5)
        assert await s3.keys() == ["keep/a", "logs/b"]
        await s3.days(2)
        assert await s3.keys() == ["keep/a"]

    timed(work)


def test_objects_expire_on_a_date() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        await s3.rules({"Expiration": {"Date": s3.date(3)}})
        await s3.days(2.9)
        assert await s3.keys() == ["a"]
        await s3.days(0.2)
        assert await s3.keys() == []
        await s3.put("b")  # the date stays behind: what comes later goes too
        await s3.days(1)
        assert await s3.keys() == []

    timed(work)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"Prefix": "a"}, ["b-big-red", "b-small"]),
        ({"Tag": {"Key": "colour", "Value": "red"}}, ["a-big", "b-small"]),
        ({"ObjectSizeGreaterThan": 100}, ["a-small-red", "b-small"]),
        ({"ObjectSizeLessThan": 100}, ["a-big", "b-big-red"]),
        (
            {"And": {"Prefix": "a", "Tags": [{"Key": "colour", "Value": "red"}]}},
            ["a-big", "b-big-red", "b-small"],
        ),
        (
            {"And": {"ObjectSizeGreaterThan": 0, "ObjectSizeLessThan": 100, "Prefix": "b"}},
            ["a-big", "a-small-red", "b-big-red"],
        ),
    ],
)
def test_filters(told: dict[str, Any], left: list[str]) -> None:
    async def work(s3: Clocked) -> None:
        for name in ("a-small-red", "a-big", "b-small", "b-big-red"):
            red = {"x_amz_tagging": "colour=red&x=y"} if "red" in name else {}
            await s3.put(name, b"x" * (200 if "big" in name else 10), **red)
        await s3.rules({"Filter": told, "Expiration": {"Days": 1}})
        await s3.days(3)
        assert await s3.keys() == left

    timed(work)


def test_a_disabled_rule_does_nothing_and_a_removed_one_stops() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        await s3.rules({"Expiration": {"Days": 1}, "Status": "Disabled"})
        await s3.days(5)
        assert await s3.keys() == ["a"]
        await s3.rules({"Expiration": {"Days": 10}})
        await s3.bucket("DeleteBucketLifecycle")
        await s3.days(10)
        assert await s3.keys() == ["a"]

    timed(work)


def test_a_versioned_object_expires_under_a_marker_and_the_marker_when_alone() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        await s3.rules(
            {
                "Expiration": {"Days": 1},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 3},
            }
        )
        await s3.days(2.1)
        assert await s3.versions() == [("a", "marker"), ("a", "old")]
        await s3.days(2)
        assert await s3.versions() == [("a", "marker"), ("a", "old")]
        await s3.days(2)  # the version goes, and with it the reason for the marker
        await s3.days(1)
        assert await s3.versions() == []

    timed(work, "Enabled")


def test_expired_delete_markers_go_where_a_rule_says_so() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("bare")
        await s3.object("DeleteObject", "bare")
        told = (await s3.bucket("ListObjectVersions"))["Versions"][0]
        await s3.object("DeleteObject", "bare", query={"versionId": told["VersionId"]})
        await s3.put("kept")
        await s3.object("DeleteObject", "kept")
        await s3.rules({"Expiration": {"ExpiredObjectDeleteMarker": True}})
        await s3.days(1.1)
        assert await s3.versions() == [("kept", "marker"), ("kept", "old")]

    timed(work, "Enabled")


def test_newer_noncurrent_versions_are_kept() -> None:
    async def work(s3: Clocked) -> None:
        for number in range(6):
            await s3.put("a", str(number).encode())
        ending = {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}
        await s3.rules({"NoncurrentVersionExpiration": ending})
        await s3.days(1.9)
        await s3.days(1)
        found = (await s3.bucket("ListObjectVersions"))["Versions"]
        bodies = [
            (await s3.object("GetObject", "a", query={"versionId": v["VersionId"]}))[2]
            for v in found
        ]
        assert bodies == [b"5", b"4", b"3"]

    timed(work, "Enabled")


def test_days_of_an_old_version_count_from_when_it_was_superseded() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", b"1")
        await s3.days(10)
        await s3.put("a", b"2")
        await s3.rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 3}})
        await s3.days(2)
        assert await s3.versions() == [("a", "current"), ("a", "old")]
        await s3.days(2.1)
        assert await s3.versions() == [("a", "current")]

    timed(work, "Enabled")


def test_locked_versions_are_spared() -> None:
    async def work(s3: Clocked) -> None:
        await s3.bucket("PutObjectLockConfiguration", **LOCKS)
        until = "2026-01-20T00:00:00Z"
        kept = {
            "x_amz_object_lock_mode": "COMPLIANCE",
            "x_amz_object_lock_retain_until_date": until,
        }
        await s3.put("a", **kept, content_md5=MD5_OF_X)
        await s3.put("a", x_amz_object_lock_legal_hold="ON", content_md5=MD5_OF_X)
        await s3.put("a", b"3")
        await s3.rules({"NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
        await s3.days(5)
        assert await s3.versions() == [("a", "current"), ("a", "old"), ("a", "old")]
        await s3.days(20)  # the retention is over, the hold is not
        assert await s3.versions() == [("a", "current"), ("a", "old")]
        held = (await s3.bucket("ListObjectVersions"))["Versions"][1]
        off = {"Key": "a", "VersionId": held["VersionId"], "LegalHold": {"Status": "OFF"}}
        await s3.bucket("PutObjectLegalHold", **off)
        await s3.days(1)
        assert await s3.versions() == [("a", "current")]

    timed(work, "Enabled")


LOCKS = {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
MD5_OF_X = "ndTkYSaMgDT1yFZOFVxnpg=="


def test_unfinished_uploads_are_aborted_and_their_parts_forgotten() -> None:
    async def work(s3: Clocked) -> None:
        made = [
            (await s3.bucket("CreateMultipartUpload", Key=k))["UploadId"] for k in ("in/a", "b")
        ]
        part = {"query": {"uploadId": made[0], "partNumber": "1"}, "body": b"part"}
        await s3.object("UploadPart", "in/a", **part)
        abort = {"DaysAfterInitiation": 2}
        await s3.rules({"Filter": {"Prefix": "in/"}, "AbortIncompleteMultipartUpload": abort})
        told = await s3.bucket("ListParts", Key="in/a", UploadId=made[0])
        assert told["AbortRuleId"] == "r0" and told["AbortDate"].day == 3
        await s3.days(1.5)
        assert len((await s3.bucket("ListMultipartUploads"))["Uploads"]) == 2
        await s3.days(1)
        left = (await s3.bucket("ListMultipartUploads"))["Uploads"]
        assert [u["UploadId"] for u in left] == [made[1]]
        gone = s3.bucket("ListParts", Key="in/a", UploadId=made[0])
        assert await refused(gone) == "NoSuchUpload"

    timed(work)


def test_transitions_go_colder_only_and_leave_small_objects() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("big", BIG)
        await s3.put("small")
        await s3.put("cold", BIG, x_amz_storage_class="DEEP_ARCHIVE")
        moves = [
            {"Days": 30, "StorageClass": "STANDARD_IA"},
            {"Days": 90, "StorageClass": "GLACIER"},
        ]
        await s3.rules({"Transitions": moves, "Expiration": {"Days": 365}})
        await s3.days(32)
        assert await s3.classes() == {
            "big": "STANDARD_IA",
            "small": "STANDARD",
            "cold": "DEEP_ARCHIVE",
        }
        await s3.days(60)
        assert (await s3.classes())["big"] == "GLACIER"
        await s3.days(280)
        assert await s3.keys() == []

    timed(work)


def test_small_objects_move_where_the_rule_speaks_of_sizes_or_the_default_varies() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a")
        move = {"Days": 1, "StorageClass": "GLACIER"}
        varies = {"TransitionDefaultMinimumObjectSize": "varies_by_storage_class"}
        await s3.rules({"Transitions": [move]}, **varies)
        await s3.days(2.1)
        assert await s3.classes() == {"a": "GLACIER"}
        await s3.put("b")
        warm = {"Days": 30, "StorageClass": "STANDARD_IA"}
        await s3.rules({"Transitions": [warm], "Filter": {"ObjectSizeGreaterThan": 0}})
        await s3.days(32)
        assert (await s3.classes())["b"] == "STANDARD_IA"

    timed(work)


def test_noncurrent_versions_move_too() -> None:
    async def work(s3: Clocked) -> None:
        await s3.put("a", BIG)
        await s3.put("a", BIG)
        move = {"NoncurrentDays": 30, "StorageClass": "STANDARD_IA"}
        await s3.rules({"NoncurrentVersionTransitions": [move]})
        await s3.days(32)
        found = (await s3.bucket("ListObjectVersions"))["Versions"]
        assert [v["StorageClass"] for v in found] == ["STANDARD", "STANDARD_IA"]

    timed(work, "Enabled")


def test_answers_tell_when_a_version_expires() -> None:
    async def work(s3: Clocked) -> None:
        await s3.rules({"Filter": {"Prefix": "a"}, "Expiration": {"Days": 4}})
        told = (await s3.put("a"))["x-amz-expiration"]
        assert told == 'expiry-date="Mon, 05 Jan 2026 00:00:00 GMT", rule-id="r0"'
        for operation in ("GetObject", "HeadObject"):
            assert (await s3.object(operation, "a"))[1]["x-amz-expiration"] == told
        assert "x-amz-expiration" not in await s3.put("b")

    timed(work)


def test_the_longest_time_can_be_told() -> None:
    async def work(s3: Clocked) -> None:
        longest = 2**31 - 1
        abort = {"DaysAfterInitiation": longest}
        ever = {"Expiration": {"Days": longest}, "AbortIncompleteMultipartUpload": abort}
        await s3.rules(ever)
        told = (await s3.put("a", x_amz_storage_class="GLACIER"))["x-amz-expiration"]
        assert told == 'expiry-date="Fri, 31 Dec 9999 00:00:00 GMT", rule-id="r0"'
        made = await s3.bucket("CreateMultipartUpload", Key="b")
        assert made["AbortDate"].year == 9999
        days = {"Key": "a", "RestoreRequest": {"Days": longest}}
        await s3.bucket("RestoreObject", **days)
        await s3.days(1)
        assert "31 Dec 9999" in (await s3.object("HeadObject", "a"))[1]["x-amz-restore"]

    timed(work)


def test_a_run_goes_on_where_a_dead_process_left_it() -> None:
    async def work(s3: Clocked) -> None:
        for number in range(450):
            await s3.put(f"{number:04}")
        await s3.rules({"Expiration": {"Days": 1}})
        s3.clock.step(3 * 86_400_000)
        chore = s3.chore
        walk = chore._walk("clocked", _version_of_rules(s3), s3.clock.now_ms())
        room = chore._room
        bucket = room.bucket("clocked")
        chore._slice(walk, bucket, _terms(s3), s3.clock.now_ms())
        await chore._flush(walk, "clocked")
        left = await s3.keys()
        assert 0 < len(left) < 450
        s3.restarted()
        await s3.work()
        assert await s3.keys() == []

    timed(work)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_was_ahead_puts_no_run_off(restarted: bool) -> None:
    async def work(s3: Clocked) -> None:
        await s3.rules({"Expiration": {"Days": 1}})
        await s3.days(400.1)  # a run, then the clock is set right
        s3.clock.step(-400 * DAY_MS)
        if restarted:
            s3.restarted()
        await s3.put("a")
        await s3.days(1)
        assert await s3.keys() == ["a"]
        await s3.days(1)
        assert await s3.keys() == []

    timed(work)


def _version_of_rules(s3: Clocked) -> int:
    from pileus.services.s3 import rows

    row = s3.store.row(rows.setting("clocked", "lifecycle"))
    assert row is not None
    return row.version


def _terms(s3: Clocked) -> Any:
    from pileus.services.s3.lifecycle import terms

    room = s3.chore._room
    return terms(room, room.bucket("clocked"))


DAYS = {"Expiration": {"Days": 1}}
IA = {"Days": 30, "StorageClass": "STANDARD_IA"}


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"ID": "x" * 256, **DAYS}, "InvalidArgument"),
        ({"Status": "enabled", **DAYS}, "MalformedXML"),
        ({}, "InvalidRequest"),
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Days": 2**31}}, "MalformedXML"),
        ({"Transitions": [{"Days": 10**30, "StorageClass": "GLACIER"}]}, "MalformedXML"),
        ({"Expiration": {"Date": 86_400e12}}, "InvalidArgument"),
        ({"Expiration": {"Date": 1_700_000_001.0}}, "InvalidArgument"),
        ({"Expiration": {"Days": 1, "Date": 86_400.0}}, "MalformedXML"),
        ({"Filter": {"Prefix": "a", "Tag": {"Key": "a", "Value": "b"}}, **DAYS}, "MalformedXML"),
        ({"Prefix": "a", "Filter": {"Prefix": "b"}, **DAYS}, "MalformedXML"),
        ({"Transitions": [{**IA, "Days": 29}]}, "InvalidArgument"),
        ({"Transitions": [{**IA, "StorageClass": "LUKEWARM"}]}, "MalformedXML"),
        ({"Transitions": [IA, IA]}, "InvalidRequest"),
        ({"Transitions": [IA, {"Days": 59, "StorageClass": "GLACIER"}]}, "InvalidArgument"),
        ({"Transitions": [IA], "Expiration": {"Days": 30}}, "InvalidArgument"),
        ({"Transitions": [IA], "Expiration": {"Date": 86_400.0}}, "InvalidRequest"),
        ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 3}}, "MalformedXML"),
        (
            {
                "NoncurrentVersionExpiration": {
                    "NoncurrentDays": 1,
                    "NewerNoncurrentVersions": 101,
                }
            },
            "InvalidArgument",
        ),
        (
            {
                "Filter": {"Tag": {"Key": "a", "Value": "b"}},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
            "InvalidRequest",
        ),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: dict[str, Any], code: str) -> None:
    async def work(s3: Clocked) -> None:
        assert await refused(s3.rules(rule)) == code
        with pytest.raises(AwsError, match="does not exist"):
            await s3.bucket("GetBucketLifecycleConfiguration")

    timed(work)


def test_a_thousand_rules_are_kept_and_one_more_is_refused() -> None:
    async def work(s3: Clocked) -> None:
        many = [{"Filter": {"Prefix": f"{n:04}/"}, "Expiration": {"Days": 1}} for n in range(1001)]
        assert await refused(s3.rules(*many)) == "InvalidRequest"
        await s3.rules(*many[:1000])
        for n in range(0, 1100, 4):
            await s3.put(f"{n:04}/a")
        await s3.days(2.1)
        assert await s3.keys() == [f"{n:04}/a" for n in range(1000, 1100, 4)]

    timed(work)
