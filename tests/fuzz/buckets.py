"""Valid requests to buckets: objects, multipart, XML documents, forms, chunked and presigned."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

from tests.fuzz.sent import REGION, Key, Sent

RULE = "<Rule><ID>a</ID><Filter><Prefix>p/</Prefix></Filter><Status>Enabled</Status>"
GRANT = (
    '<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
    "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee>"
    "<Permission>READ</Permission></Grant>"
)
# query -> root element's name and content
DOCUMENTS = {
    "versioning": ("VersioningConfiguration", "<Status>Enabled</Status>"),
    "tagging": ("Tagging", "<TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet>"),
    "cors": ("CORSConfiguration", "<CORSRule><ID>x</ID><AllowedMethod>GET</AllowedMethod>"
             "<AllowedOrigin>http://*.a</AllowedOrigin><AllowedHeader>*</AllowedHeader>"
             "<MaxAgeSeconds>30</MaxAgeSeconds></CORSRule>"),
    "lifecycle": ("LifecycleConfiguration", RULE + "<Expiration><Days>3</Days></Expiration>"
                  "<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>"
                  "</Rule>"),
    "website": ("WebsiteConfiguration", "<IndexDocument><Suffix>i.html</Suffix></IndexDocument>"
                "<RoutingRules><RoutingRule><Condition><KeyPrefixEquals>a/</KeyPrefixEquals>"
                "</Condition><Redirect><ReplaceKeyPrefixWith>b/</ReplaceKeyPrefixWith></Redirect>"
                "</RoutingRule></RoutingRules>"),
    "encryption": ("ServerSideEncryptionConfiguration", "<Rule><ApplyServerSideEncryptionByDefault>"
                   "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"),
    "acl": ("AccessControlPolicy", "<Owner><ID>000000000000</ID></Owner><AccessControlList>"
            f"{GRANT}</AccessControlList>"),
    "publicAccessBlock": ("PublicAccessBlockConfiguration", "<BlockPublicAcls>true"
                          "</BlockPublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>"),
    "ownershipControls": ("OwnershipControls", "<Rule><ObjectOwnership>BucketOwnerEnforced"
                          "</ObjectOwnership></Rule>"),
    "notification": ("NotificationConfiguration", "<QueueConfiguration><Id>q</Id><Queue>"
                     "arn:aws:sqs:us-east-1:000000000000:q</Queue><Event>s3:ObjectCreated:*</Event>"
                     "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>a</Value></FilterRule>"
                     "</S3Key></Filter></QueueConfiguration>"),
    "logging": ("BucketLoggingStatus", "<LoggingEnabled><TargetBucket>other</TargetBucket>"
                "<TargetPrefix>l/</TargetPrefix></LoggingEnabled>"),
    "requestPayment": ("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    "object-lock": ("ObjectLockConfiguration", "<ObjectLockEnabled>Enabled</ObjectLockEnabled>"
                    "<Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days>"
                    "</DefaultRetention></Rule>"),
    "replication": ("ReplicationConfiguration", "<Role>arn:aws:iam::0:role/r</Role>" + RULE
                    + "<Destination><Bucket>arn:aws:s3:::b</Bucket></Destination></Rule>"),
    "accelerate": ("AccelerateConfiguration", "<Status>Suspended</Status>"),
    "intelligent-tiering&id=a": ("IntelligentTieringConfiguration", "<Id>a</Id>"
                                 "<Status>Enabled</Status><Tiering><AccessTier>ARCHIVE_ACCESS"
                                 "</AccessTier><Days>90</Days></Tiering>"),
}  # fmt: skip
OF_OBJECTS = {
    "tagging": DOCUMENTS["tagging"],
    "acl": DOCUMENTS["acl"],
    "retention": ("Retention", "<Mode>GOVERNANCE</Mode>"
                  "<RetainUntilDate>2031-01-01T00:00:00Z</RetainUntilDate>"),
    "legal-hold": ("LegalHold", "<Status>OFF</Status>"),
}  # fmt: skip
POSTED = {
    "delete": ("Delete", "<Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>null"
               "</VersionId></Object><Quiet>false</Quiet>"),
    "restore": ("RestoreRequest", "<Days>1</Days><GlacierJobParameters><Tier>Standard</Tier>"
                "</GlacierJobParameters>"),
    "uploadId=nope": ("CompleteMultipartUpload", "<Part><PartNumber>1</PartNumber><ETag>"
                      '"9b2cf535f27731c974343645a3985328"</ETag></Part>'),
    "select&select-type=2": ("SelectObjectContentRequest", "<Expression>SELECT * FROM S3Object"
                             "</Expression><ExpressionType>SQL</ExpressionType>"),
}  # fmt: skip
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{
        "Sid": "a", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
        "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::BUCKET/*",
        "Condition": {"StringLike": {"aws:PrincipalArn": ["arn:*"]},
                      "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    }],
}  # fmt: skip
QUERIES = (
    "list-type=2&prefix=a&delimiter=%2F&max-keys=2&encoding-type=url&start-after=b",
    "versions&prefix=a&key-marker=b&max-keys=1", "uploads&prefix=a&max-uploads=1&delimiter=/",
    "list-type=2&continuation-token=abc&fetch-owner=true", "location", "policyStatus", "",
)  # fmt: skip
HEADERS: tuple[dict[str, str], ...] = (
    {"range": "bytes=0-1,3-"}, {"if-match": '"a", W/"b"'}, {"x-amz-checksum-mode": "ENABLED"},
    {"if-modified-since": "Sat, 21 Nov 2026 10:00:00 GMT"}, {"x-amz-expected-bucket-owner": "0"},
    {"x-amz-server-side-encryption-customer-algorithm": "AES256",
     "x-amz-server-side-encryption-customer-key": "A" * 43 + "=",
     "x-amz-server-side-encryption-customer-key-md5": "Z" * 22 + "=="},
)  # fmt: skip
PUT_HEADERS: tuple[dict[str, str], ...] = (
    {"x-amz-meta-e": "ü", "x-amz-tagging": "a=b&c=d", "content-md5": "XUFAKrxLKna5cZ2REBfFkg=="},
    {"x-amz-copy-source": "/BUCKET/a?versionId=null", "x-amz-copy-source-range": "bytes=0-1"},
    {"x-amz-checksum-crc32": "NhCmhg==", "x-amz-sdk-checksum-algorithm": "CRC32"},
    {"x-amz-acl": "public-read", "x-amz-storage-class": "GLACIER", "if-none-match": "*"},
    {"x-amz-grant-read": 'id="a", uri="http://acs.amazonaws.com/groups/global/AllUsers"'},
    {"x-amz-object-lock-mode": "GOVERNANCE", "expires": "never", "cache-control": "no-cache",
     "x-amz-object-lock-retain-until-date": "2031-01-01T00:00:00Z"},
    {"x-amz-website-redirect-location": "/b", "x-amz-server-side-encryption": "aws:kms"},
)  # fmt: skip


def document(told: tuple[str, str]) -> bytes:
    name, content = told
    xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0"?><{name} xmlns="{xmlns}">{content}</{name}>'.encode()


def documents(bucket: str) -> list[Sent]:
    """Settings and other XML, and the policy."""
    made = []
    for method, at, found in (
        ("PUT", f"/{bucket}", DOCUMENTS),
        ("PUT", f"/{bucket}/a", OF_OBJECTS),
        ("POST", f"/{bucket}/a", POSTED),
    ):
        for query, told in found.items():
            where = f"/{bucket}" if query == "delete" else at
            made.append(Sent(told[0], "s3", method, where, query, {}, document(told)))
    policy = json.dumps(POLICY).replace("BUCKET", bucket).encode()
    made.append(Sent("policy", "s3", "PUT", f"/{bucket}", "policy", {}, policy))
    return made


def objects(bucket: str, auth: str = "header") -> list[Sent]:
    """Reads, writes and listings; ``auth`` as in ``Sent``."""
    made = [Sent("list", "s3", "GET", f"/{bucket}", q, {}, auth=auth) for q in QUERIES]
    for headers in HEADERS:
        made.append(Sent("read", "s3", "GET", f"/{bucket}/a", "", dict(headers), auth=auth))
    for headers in PUT_HEADERS:
        told = {n: v.replace("BUCKET", bucket) for n, v in headers.items()}
        copy = "x-amz-copy-source" in told
        made.append(
            Sent("write", "s3", "PUT", f"/{bucket}/k%C3%A9y", "", told,
                 b"" if copy else b"hello", auth)
        )  # fmt: skip
    made.append(
        Sent("part", "s3", "PUT", f"/{bucket}/a", "partNumber=1&uploadId=x", {}, b"hello", auth)
    )
    made.append(Sent("upload", "s3", "POST", f"/{bucket}/a", "uploads", {}, b"", auth))
    made.append(Sent("bucket", "s3", "PUT", f"/{bucket}-more", "", {}, b"", auth))
    wanted = {"x-amz-object-attributes": "ETag,Checksum,ObjectParts"}
    made.append(Sent("attributes", "s3", "GET", f"/{bucket}/a", "attributes", wanted, auth=auth))
    return made


def chunked(bucket: str) -> list[Sent]:
    """Uploads in signed chunks and with trailers."""
    return [
        Sent(f"chunks {size}", "s3", "PUT", f"/{bucket}/c{size}", "", {}, b"x" * size, auth)
        for size in (0, 5, 20_000)
        for auth in ("chunked", "trailer")
    ]


def form(bucket: str, key: Key) -> Sent:
    """A browser's upload with a signed policy."""
    day = time.strftime("%Y%m%d", time.gmtime())
    scope = f"{key.id}/{day}/{REGION}/s3/aws4_request"
    conditions = [
        {"bucket": bucket}, ["starts-with", "$key", "f"], {"x-amz-credential": scope},
        {"x-amz-algorithm": "AWS4-HMAC-SHA256"}, {"x-amz-date": f"{day}T000000Z"},
        ["content-length-range", 0, 1000], ["eq", "$success_action_status", "201"],
    ]  # fmt: skip
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 600))
    policy = base64.b64encode(json.dumps({"expiration": until, "conditions": conditions}).encode())
    signature = hmac.new(key.signing(day, "s3"), policy, hashlib.sha256).hexdigest()
    fields = {
        "key": "f/${filename}", "success_action_status": "201", "policy": policy.decode(),
        "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": scope,
        "x-amz-date": f"{day}T000000Z", "x-amz-signature": signature,
    }  # fmt: skip
    body = b"".join(
        f'--zz\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in fields.items()
    )
    body += (
        b'--zz\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nhi\r\n--zz--\r\n'
    )
    kind = {"content-type": "multipart/form-data; boundary=zz"}
    return Sent("form", "s3", "POST", f"/{bucket}", "", kind, body, "form")
