"""What a hostile client may try against a running lab. Called by hostile.rs inside a private namespace:
hostile.py KUBECONFIG PAGE_ADDRESS TOKEN POD. Prints a line for each attempt; exits with 1 at the first that gets through.
"""
import base64, gzip, json, os, random, socket, ssl, struct, sys, tempfile, time, zlib

KUBECONFIG, PAGE, TOKEN, POD = sys.argv[1:5]
config = json.load(open(KUBECONFIG))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
host, port = cluster["server"].split("//")[1].split(":")
address, page = (host, int(port)), (PAGE.split(":")[0], int(PAGE.split(":")[1]))
SECRET = "hidden-from-strangers"
rng = random.Random(7)

def file_of(data):
    handle = tempfile.NamedTemporaryFile(delete=False)
    handle.write(base64.b64decode(data))
    handle.close()
    return handle.name

ca, crt, key = (file_of(data) for data in (
    cluster["certificate-authority-data"], user["client-certificate-data"], user["client-key-data"]))

def tls(admin=True, protocols=("http/1.1",)):
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(list(protocols))
    if admin:
        context.load_cert_chain(crt, key)
    plain = socket.create_connection(address, timeout=60)
    return context.wrap_socket(plain, server_hostname=host)

def read_all(stream, limit=1 << 22):
    data = b""
    try:
        while len(data) < limit:
            more = stream.recv(65536)
            if not more:
                break
            data += more
    except (OSError, ssl.SSLError):
        pass
    return data

def ask(method, path, headers=None, body=b"", admin=True):
    stream = tls(admin)
    lines = [f"{method} {path} HTTP/1.1", "Host: kubernetes", "Connection: close", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    request = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body
    try:
        stream.sendall(request)
    except (OSError, ssl.SSLError):
        pass
    answer = read_all(stream)
    stream.close()
    try:
        code = int(answer.split(b" ", 2)[1])
    except (IndexError, ValueError):
        code = 0
    return code, answer

def check(what, good, detail=b""):
    print(("ok   " if good else "FAIL ") + what, flush=True)
    if not good:
        print(detail[:2000])
        sys.exit(1)

def alive(what):
    code, answer = ask("GET", "/readyz")
    check(f"alive after {what}", code == 200 and answer.endswith(b"ok"), answer)

# Bytes that are no TLS, no HTTP, no anything, on both ports.
openers = [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 4096,
           b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n", b"\x80\x03\x00\x01"]
for target in (address, page):
    for number in range(100):
        stream = socket.create_connection(target, timeout=10)
        try:
            stream.sendall(openers[number % len(openers)] + rng.randbytes(rng.randrange(2000)))
        except OSError:
            pass
        stream.close()
alive("garbage")

# Requests cut anywhere.
whole = b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: k\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{\"metadata\":{\"name\":\"cut\"}}"
for cut in range(1, len(whole), 9):
    stream = tls()
    stream.sendall(whole[:cut])
    stream.close()
alive("requests cut short")
check("nothing of them was kept", ask("GET", "/api/v1/namespaces/default/configmaps/cut")[0] == 404)

# Too much of it.
code, answer = ask("GET", "/api", {"X-Long": "x" * 300_000})
check("headers of 300 kB", code == 431, answer)
code, answer = ask("GET", "/api/" + "x" * 66_000)
check("a path of 66 kB", code == 414, answer)
code, answer = ask("POST", "/api/v1/namespaces/default/configmaps", {"Content-Type": "application/json"}, b" " * (4 << 20))
check("a body of 4 MiB", code == 413 and b"RequestEntityTooLarge" in answer, answer)

MAPS = "/api/v1/namespaces/default/configmaps"
laughs = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n".encode() for n in range(1, 12)) + b"metadata: {name: laugh}\n"
bodies = [
    ("JSON a million deep", "application/json", b"[" * 1_000_000),
    ("JSON objects deep", "application/json", b'{"a":' * 200_000),
    ("deep JSON in a field", "application/json", b'{"metadata":{"name":"deep"},"data":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    ("YAML deep", "application/yaml", b"[" * 100_000),
    ("YAML deep in blocks", "application/yaml", b"".join(b" " * n + b"a:\n" for n in range(1500))),
    ("a billion laughs", "application/yaml", laughs),
    ("bad UTF-8 in JSON", "application/json", b'{"metadata":{"name":"\xff\xfe"}}'),
    ("lone surrogates", "application/json", b'{"metadata":{"name":"a"},"data":{"x":"\\ud800"}}'),
    ("zero bytes", "application/json", b"\0" * 1000),
    ("protobuf that ends early", "application/vnd.kubernetes.protobuf", b"k8s\0\x0a\x0d\x0a\x02v1"),
    ("protobuf with a huge length", "application/vnd.kubernetes.protobuf", b"k8s\0\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
    ("a number beyond all", "application/json", b'{"metadata":{"name":"n","generation":1e999999}}'),
    ("a media type of no kind", "text/html", b"<html>"),
]
for what, media, body in bodies:
    begun = time.monotonic()
    code, answer = ask("POST", MAPS, {"Content-Type": media}, body)
    took = time.monotonic() - begun
    check(f"{what}: {code} in {took:.1f} s", code in (400, 415, 422) and b'"kind":"Status"' in answer and took < 30, answer)
packed = gzip.compress(b'{"metadata":{"name":"bomb"},"data":{"a":"' + b"x" * (200 << 20) + b'"}}')
code, answer = ask("POST", MAPS, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, packed)
check(f"200 MB packed into {len(packed)} bytes: {code}", code in (400, 413, 415), answer)
alive("bad bodies")

# A token of one namespace, and paths that try to leave it.
bearer = {"Authorization": f"Bearer {TOKEN}"}
code, answer = ask("GET", "/api/v1/namespaces/default/secrets", bearer, admin=False)
check("its own namespace", code == 200, answer)
for path in ["/api/v1/namespaces/vault/secrets", "/api/v1/namespaces/vault/secrets/hidden", "/api/v1/secrets",
             "/api/v1/namespaces/default/../vault/secrets", "/api/v1/namespaces/default/%2e%2e/vault/secrets/hidden",
             "/api/v1/namespaces/default%2f..%2fvault/secrets", "/api/v1/namespaces/default%2fsecrets%2f..%2f..%2fvault/secrets",
             "/api/v1/namespaces/../secrets", "//api/v1/namespaces/vault/secrets", "/api//v1/namespaces/vault/secrets/hidden",
             "/api/v1/namespaces/default/secrets/..%2f..%2fvault%2fsecrets%2fhidden", "/api/v1/watch/namespaces/vault/secrets?timeoutSeconds=1",
             "/api/v1/namespaces/default/secrets?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoidmF1bHQvYSJ9&limit=5",
             "/api/v1/namespaces/default/secrets?fieldSelector=metadata.namespace%3Dvault", "/api/v1/namespaces/vault%00/secrets",
             "/api/v1/namespaces/%76ault/secrets/hidden", "/api/v1/namespaces/default/secrets;/../../vault/secrets",
             "/api/v1/namespaces/default\\..\\vault/secrets", "/apis/../api/v1/secrets", "/api/v1/namespaces/vault/secrets/hidden?watch",
             "/api/v1/nodes/node1/proxy/pods", "/ui/../../../../etc/passwd", "/ui/%2e%2e/%2e%2e/etc/passwd"]:
    for extra in ({}, {"Impersonate-User": "minisvc:admin", "Impersonate-Group": "system:masters"}):
        code, answer = ask("GET", path, {**bearer, **extra}, admin=False)
        leaked = SECRET.encode() in answer or base64.b64encode(SECRET.encode()) in answer or b"root:x:" in answer
        check(f"{path} {'as another ' if extra else ''}{code}", not leaked and code != 500, answer)
for bad in ["x", "a.b.c", TOKEN[:-4] + "AAAA", TOKEN.split(".")[0] + "." + TOKEN.split(".")[1] + "."]:
    code, answer = ask("GET", "/api/v1/namespaces/default/secrets", {"Authorization": f"Bearer {bad}"}, admin=False)
    check(f"a token that is none: {code}", code == 401 and b"Unauthorized" in answer, answer)
code, answer = ask("GET", "/api/v1/secrets", admin=False)
check("nobody's secrets", code == 403 and b"system:anonymous" in answer, answer)

# HTTP/2: streams opened and reset at once, as fast as it goes.
stream = tls(protocols=("h2",))
head = bytes([0x82, 0x87, 0x84, 0x41, 1]) + b"k"
frame = lambda kind, flags, number, body: struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", number) + body
try:
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
    for number in range(1, 20_001, 2):
        stream.sendall(frame(1, 5, number, head) + frame(3, 0, number, struct.pack(">I", 8)))
    print("ok   10,000 resets were taken")
except (OSError, ssl.SSLError) as refused:
    print(f"ok   cut at reset {number // 2}: {refused}")
stream.close()
alive("rapid resets")

# SPDY: 10,000 streams on one exec.
stream = tls()
stream.sendall((f"POST /api/v1/namespaces/default/pods/{POD}/exec?command=cat&stdin=true&stdout=true HTTP/1.1\r\nHost: k\r\n"
                "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n").encode())
answer = stream.recv(65536)
check("exec over SPDY", b" 101 " in answer, answer)
packer = zlib.compressobj()
try:
    stream.settimeout(20)
    for number in range(1, 20_001, 2):
        pairs = [(b"streamtype", b"stdout"), (b"n", str(number).encode())]
        plain = struct.pack(">I", len(pairs)) + b"".join(struct.pack(">I", len(w)) + w for pair in pairs for w in pair)
        block = packer.compress(plain) + packer.flush(zlib.Z_SYNC_FLUSH)
        body = struct.pack(">IIH", number, 0, 0) + block
        stream.sendall(struct.pack(">HHI", 0x8003, 1, len(body)) + body)
    print("ok   10,000 streams were taken or refused")
except (OSError, ssl.SSLError) as refused:
    print(f"ok   cut at stream {number // 2}: {refused}")
stream.close()
alive("10,000 SPDY streams")

# A thousand connections that never say a word, and a client among them.
held = [socket.create_connection(address, timeout=10) for _ in range(1000)]
alive("1,000 silent connections")
for stream in held:
    stream.close()
for name in (ca, crt, key):
    os.unlink(name)
print("DONE")
