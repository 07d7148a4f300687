"""A small S3 server for the tests of the program: one process, buckets in memory, and a script that may answer in its place.

No signature is checked. `answer(method, bucket, key, query, headers)` may return (status, headers, body), DROP (the connection ends without
an answer, and nothing is done), LOSE (it is done, and the answer is lost) or None (the server answers itself).
ignore: conditions that it does not know, of "if-none-match", "if-match"."""
import datetime
import email.utils
import hashlib
import http.server
import re
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

DROP, LOSE = "drop", "lose"


def error(status, code, message="no", **more):
    body = "<Error><Code>%s</Code><Message>%s</Message><RequestId>4TW9%s</RequestId>%s</Error>" % (
        code, message, "ABCDEF", "".join("<%s>%s</%s>" % (k, v, k) for k, v in more.items()))
    return status, {"x-amz-request-id": "4TW9ABCDEF", **({"x-amz-bucket-region": more["Region"]} if "Region" in more else {})}, body.encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one piece: else each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def reply(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", headers.get("content-length-of", len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self):
        s = self.server.bucket_server
        url = urllib.parse.urlsplit(self.path)
        bucket, _, key = urllib.parse.unquote(url.path.lstrip("/")).partition("/")
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        headers = {k.lower(): v for k, v in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        with s.mu:
            s.requests.append((self.command, bucket, key, query, headers))
            told = s.answer(self.command, bucket, key, query, headers) if s.answer else None
            if told == DROP:
                self.close_connection = True
                return
            answer = told if isinstance(told, tuple) else s.serve(self.command, bucket, key, query, headers, body)
            if told == LOSE:
                self.close_connection = True
                return
        self.reply(*answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one


class Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a program that was killed is no error here
            super().handle_error(request, client_address)


def iso(time_s):
    return datetime.datetime.fromtimestamp(int(time_s), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Server:
    def __init__(self, answer=None, ignore=()):
        self.answer, self.ignore = answer, ignore
        self.mu = threading.RLock()
        self.buckets = {"acme": {}}
        self.uploads, self.begun = {}, 0
        self.requests = []
        self.http = Http(("127.0.0.1", 0), Handler)
        self.http.bucket_server = self
        self.url = "http://127.0.0.1:%d" % self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    # ---- objects
    def store(self, objects, key, body, headers):
        etag = '"%s"' % hashlib.md5(body + str(len(self.requests)).encode()).hexdigest()
        objects[key] = {"body": body, "etag": etag, "time": time.time(),
                        "meta": {k: v for k, v in headers.items() if k.startswith("x-amz-meta-")}}
        return 200, {"etag": etag, "x-amz-request-id": "4TW9ABCDEF"}, b""

    def put(self, objects, key, headers, body):
        there = objects.get(key)
        if headers.get("if-none-match") == "*" and "if-none-match" not in self.ignore and there:
            return error(412, "PreconditionFailed")
        if "if-match" in headers and "if-match" not in self.ignore and (not there or there["etag"] != headers["if-match"]):
            return error(412, "PreconditionFailed")
        if "x-amz-copy-source" in headers:
            _, _, source = urllib.parse.unquote(headers["x-amz-copy-source"]).lstrip("/").partition("/")
            if source not in objects:
                return error(404, "NoSuchKey")
            answer = self.store(objects, key, objects[source]["body"], headers)
            return 200, {}, b"<CopyObjectResult><ETag>%s</ETag></CopyObjectResult>" % escape(answer[1]["etag"]).encode()
        return self.store(objects, key, body, headers)

    def get(self, objects, key, headers):
        o = objects.get(key)
        if not o:
            return error(404, "NoSuchKey")
        body, size = o["body"], len(o["body"])
        h = {"etag": o["etag"], "last-modified": email.utils.formatdate(o["time"], usegmt=True), **o["meta"]}
        m = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        if not m:
            return 200, h, body
        first = size - min(size, int(m[2])) if not m[1] else int(m[1])
        end = min(size, int(m[2]) + 1) if m[1] and m[2] else size
        if first >= size:
            return error(416, "InvalidRange")
        h["content-range"] = "bytes %d-%d/%d" % (first, end - 1, size)
        return 206, h, body[first:end]

    def list(self, objects, query):
        prefix, after = query.get("prefix", ""), query.get("start-after", "")
        found, folders = [], set()
        for key in sorted(objects):
            if not key.startswith(prefix) or key <= after:
                continue
            rest = key[len(prefix):]
            if query.get("delimiter") and "/" in rest:
                folders.add(prefix + rest.split("/")[0] + "/")
            else:
                found.append(key)
        found = found[:int(query.get("max-keys", 1000))]
        return 200, {}, ("<ListBucketResult><IsTruncated>false</IsTruncated>%s%s</ListBucketResult>" % (
            "".join("<Contents><Key>%s</Key><LastModified>%s</LastModified><ETag>%s</ETag><Size>%d</Size></Contents>" % (
                escape(k), iso(objects[k]["time"]), escape(objects[k]["etag"]), len(objects[k]["body"])) for k in found),
            "".join("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>" % escape(f) for f in sorted(folders)))).encode()

    def serve(self, method, bucket, key, query, headers, body):
        if not bucket:
            return 200, {}, ("<ListAllMyBucketsResult><Buckets>%s</Buckets></ListAllMyBucketsResult>" % "".join(
                "<Bucket><Name>%s</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket>" % b for b in sorted(self.buckets))).encode()
        if not key and method == "PUT":
            if bucket in self.buckets:
                return error(409, "BucketAlreadyOwnedByYou")
            self.buckets[bucket] = {}
            return 200, {}, b""
        if bucket not in self.buckets:
            return error(404, "NoSuchBucket")
        objects = self.buckets[bucket]
        if not key and method == "HEAD":
            return 200, {"x-amz-bucket-region": "us-east-1"}, b""
        if not key and method == "GET":
            return self.list(objects, query)
        if method == "POST" and "uploads" in query:
            self.begun += 1
            self.uploads[key, "u%d" % self.begun] = {"headers": headers, "parts": {}}
            return 200, {}, b"<InitiateMultipartUploadResult><UploadId>u%d</UploadId></InitiateMultipartUploadResult>" % self.begun
        upload = key, query.get("uploadId")
        if "uploadId" in query and upload not in self.uploads:  # done or given up already
            return error(404, "NoSuchUpload")
        if method == "PUT" and "partNumber" in query:
            self.uploads[upload]["parts"][int(query["partNumber"])] = body
            return 200, {"etag": '"p%s"' % query["partNumber"]}, b""
        if method == "POST" and "uploadId" in query:
            begun = self.uploads.pop(upload)
            parts = begun["parts"]
            answer = self.store(objects, key, b"".join(parts[n] for n in sorted(parts)), begun["headers"])
            return 200, {}, b"<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>" % escape(answer[1]["etag"]).encode()
        if method == "POST" and "delete" in query:
            names = re.findall(rb"<Key>(.*?)</Key>", body)
            for name in names:
                objects.pop(name.decode(), None)
            return 200, {}, b"<DeleteResult>%s</DeleteResult>" % b"".join(b"<Deleted><Key>%s</Key></Deleted>" % n for n in names)
        if method == "DELETE" and "uploadId" in query:
            del self.uploads[upload]
            return 204, {}, b""
        if method == "DELETE":
            objects.pop(key, None)
            return 204, {}, b""
        if method == "PUT":
            return self.put(objects, key, headers, body)
        return self.get(objects, key, headers)
