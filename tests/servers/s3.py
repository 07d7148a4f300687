#!/usr/bin/env python3
"""A small S3 client of the standard library: what the tests do to a bucket themselves. Reads AWS_ENDPOINT, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION, as Shale and SlateDB do; SHALE_TEST_DIRECT goes before the endpoint.

usage: s3.py mb URL | ls URL | rm URL        make the bucket; list what is under a prefix; remove all under a prefix

It asks again after answers of 5xx and lost ones, a bounded number of times: everything it does may be done twice."""
import datetime
import hashlib
import hmac
import http.client
import os
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree

TRIES = 30
TIMEOUT_S = 20
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class Refused(Exception):
    """An answer that asking again does not change."""

    def __init__(self, what, status, body):
        super().__init__("%s: status %d, %s" % (what, status, body[:300].decode(errors="replace")))
        self.status = status


def split(url):
    """("bucket", "some/prefix") of s3://bucket/some/prefix."""
    if not url.startswith("s3://"):
        raise ValueError("%r is not s3://BUCKET/PREFIX" % url)
    bucket, _, prefix = url[5:].partition("/")
    return bucket, prefix.strip("/")


def quoted(text, keep=""):
    return urllib.parse.quote(text, safe="-_.~" + keep)


class Bucket:
    def __init__(self, name, env=None):
        env = os.environ if env is None else env
        self.name, self.region = name, env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
        endpoint = env.get("SHALE_TEST_DIRECT") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT") or env.get("AWS_ENDPOINT_URL") or "https://s3.%s.amazonaws.com" % self.region
        self.at = urllib.parse.urlsplit(endpoint.rstrip("/"))
        self.key, self.secret, self.token = (env.get("AWS_" + n, "") for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))

    def signed(self, method, path, query, headers, body):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        day, digest = now[:8], hashlib.sha256(body).hexdigest() if body else EMPTY_SHA256
        headers = dict(headers, host=self.at.netloc)
        headers.update({"x-amz-date": now, "x-amz-content-sha256": digest})
        if self.token:
            headers["x-amz-security-token"] = self.token
        names = ";".join(sorted(headers))
        lines = [method, path, query, *["%s:%s" % (n, headers[n]) for n in sorted(headers)], "", names, digest]
        scope = "%s/%s/s3/aws4_request" % (day, self.region)
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256("\n".join(lines).encode()).hexdigest()])
        key = b"AWS4" + self.secret.encode()
        for word in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (self.key, scope, names, signature)
        return headers

    def once(self, method, key, query, headers, body):
        path = self.at.path + "/" + self.name + ("/" + quoted(key, "/") if key is not None else "")
        text = "&".join("%s=%s" % (quoted(n), quoted(v)) for n, v in sorted(query.items()))
        kind = http.client.HTTPSConnection if self.at.scheme == "https" else http.client.HTTPConnection
        c = kind(self.at.hostname, self.at.port, timeout=TIMEOUT_S)
        try:
            c.putrequest(method, path + ("?" + text if text else ""), skip_host=True, skip_accept_encoding=True)
            for n, v in self.signed(method, path, text, headers, body).items():
                c.putheader(n, v)
            if body or method in ("PUT", "POST"):
                c.putheader("content-length", str(len(body)))
            c.endheaders(body or None)
            r = c.getresponse()
            data = r.read()
            return r.status, {n.lower(): v for n, v in r.getheaders()}, data
        finally:
            c.close()

    def ask(self, method, key=None, query=None, headers=None, body=b"", fine=(200, 204)):
        """(status, headers, body) of an answer whose status is among the fine ones."""
        for n in range(TRIES):
            try:
                status, found, data = self.once(method, key, query or {}, headers or {}, body)
            except (OSError, http.client.HTTPException) as e:
                if n + 1 == TRIES:
                    raise Refused("%s %s" % (method, key), 0, repr(e).encode()) from e
                status = 0
            if status in fine:
                return status, found, data
            if status and status < 500 and status not in (408, 429):
                break
            time.sleep(min(1.0, 0.02 * 2**n))
        raise Refused("%s %s/%s" % (method, self.name, key or ""), status, data if status else b"no answer")

    def make(self):
        """Makes the bucket; fine if it is there."""
        body = b""
        if self.region not in ("us-east-1", "auto"):
            body = b"<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>" % self.region.encode()
        self.ask("PUT", body=body, fine=(200, 409))

    def list(self, prefix):
        """[(key, size)] of all keys that begin with the prefix, sorted."""
        return [(key, size) for key, size, _ in self.listed(prefix)]

    def listed(self, prefix):
        """[(key, size, etag)], sorted."""
        found, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix, **({"continuation-token": token} if token else {})}
            root = ElementTree.fromstring(self.ask("GET", query=query)[2])
            space = root.tag[:root.tag.index("}") + 1] if "}" in root.tag else ""
            found += [(c.findtext(space + "Key"), int(c.findtext(space + "Size")), c.findtext(space + "ETag")) for c in root.iter(space + "Contents")]
            token = root.findtext(space + "NextContinuationToken")
            if not token:
                return sorted(found)

    def get(self, key):
        return self.ask("GET", key)[2]

    def put(self, key, body):
        self.ask("PUT", key, body=body)

    def delete(self, key):
        self.ask("DELETE", key, fine=(200, 204, 404))

    def remove(self, prefix):
        """Deletes every key that begins with the prefix; how many."""
        keys = [k for k, _ in self.list(prefix)]
        for key in keys:
            self.delete(key)
        return len(keys)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("mb", "ls", "rm"):
        sys.exit(__doc__)
    name, prefix = split(sys.argv[2])
    bucket = Bucket(name)
    if sys.argv[1] == "mb":
        bucket.make()
    elif sys.argv[1] == "rm":
        print("%d objects removed" % bucket.remove(prefix + "/" if prefix else ""))
    else:
        for key, size in bucket.list(prefix + "/" if prefix else ""):
            print("%12d  %s" % (size, key))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Refused, ValueError) as e:
        sys.exit("s3.py: %s" % e)
