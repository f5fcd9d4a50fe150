"""A gRPC server, and calls of all kinds to it: serve PORT | call TARGET [AUTHORITY]."""

import concurrent.futures
import json
import sys
import threading
import time

import grpc

SERVICE = "test.Echo"
STATE = {"cancelled": [], "remaining": None, "metadata": {}}
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]


def unary(request, context):
    STATE["metadata"] = {key: value if isinstance(value, str) else list(value) for key, value in context.invocation_metadata()}
    context.send_initial_metadata([("x-initial", "one"), ("x-bytes-bin", b"\x00\xff")])
    context.set_trailing_metadata([("x-trailing", "two")])
    return request


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def bidi(requests, context):
    for request in requests:
        yield request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "n\u00e4h 100%")


def slow(request, context):
    STATE["remaining"] = context.time_remaining()
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(20)
    STATE["cancelled"].append(request.decode())
    return request


def slow_stream(request, context):
    yield b"first"
    slow(request, context)


def seen(request, context):
    return json.dumps(STATE).encode()


def forget(request, context):
    STATE.update(cancelled=[], remaining=None)
    return request


def serve(port):
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "SlowStream": grpc.unary_stream_rpc_method_handler(slow_stream),
        "Forget": grpc.unary_unary_rpc_method_handler(forget),
        "Seen": grpc.unary_unary_rpc_method_handler(seen),
    }
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, kinds)])
    assert server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def code(call):
    try:
        answer = call()
        return ["OK", answer.decode() if isinstance(answer, bytes) else answer]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


def eventually(look):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.01)
    return False


def calls(channel):
    def method(kind, name):
        return getattr(channel, kind)(f"/{SERVICE}/{name}")

    unary, server_stream = method("unary_unary", "Unary"), method("unary_stream", "ServerStream")
    client_stream, bidi = method("stream_unary", "ClientStream"), method("stream_stream", "Bidi")
    slow, slow_stream = method("unary_unary", "Slow"), method("unary_stream", "SlowStream")

    def state():
        return json.loads(method("unary_unary", "Seen")(b""))

    method("unary_unary", "Forget")(b"")
    seen = {}
    answer, call = unary.with_call(b"hello", metadata=[("x-mine", "1"), ("x-mine-bin", b"\x01\x02")])
    seen["unary"] = answer.decode()
    seen["initial"] = {key: value for key, value in call.initial_metadata() if key == "x-initial"}
    seen["bytes"] = [list(value) for key, value in call.initial_metadata() if key == "x-bytes-bin"]
    seen["trailing"] = dict(call.trailing_metadata()).get("x-trailing")
    metadata = state()["metadata"]
    seen["metadata"] = [metadata.get("x-mine"), metadata.get("x-mine-bin")]
    seen["server_stream"] = [message.decode() for message in server_stream(b"5")]
    seen["long_stream"] = sum(1 for _ in server_stream(b"2000"))
    seen["client_stream"] = client_stream(iter([b"ab", b"cde", b""])).decode()

    # Each message waits for the answer to the one before it.
    turns, go = [], threading.Semaphore(1)

    def talk():
        for number in range(10):
            go.acquire()
            yield b"%d" % number

    for message in bidi(talk()):
        turns.append(message.decode())
        go.release()
    seen["bidi"] = turns
    large = bytes(range(256)) * 32768
    seen["large"] = unary(large) == large
    seen["many"] = sum(future.result() == b"x" for future in [unary.future(b"x") for _ in range(200)])
    seen["fail"] = code(lambda: method("unary_unary", "Fail")(b""))
    seen["unknown"] = code(lambda: method("unary_unary", "Nothing")(b""))[0]

    def given_up(name):
        return eventually(lambda: name in state()["cancelled"])

    seen["deadline"] = code(lambda: slow(b"deadline", timeout=1))[0]
    seen["deadline_at_server"] = 0 < state()["remaining"] < 2
    seen["deadline_ends_call"] = given_up("deadline")
    seen["deadline_of_stream"] = code(lambda: [message.decode() for message in slow_stream(b"late", timeout=1)])[0]
    stream = slow_stream(b"cancel")
    next(stream)
    stream.cancel()
    seen["cancel"] = code(lambda: next(stream))[0]
    seen["cancel_at_server"] = given_up("cancel")
    limited = [code(lambda: unary(b"", metadata=[("x-limited", "1")])) for _ in range(3)]
    seen["limited"] = sorted({status for status, _ in limited})
    seen["refused"] = code(lambda: unary(b"", metadata=[("x-refused", "1")]))
    seen["nobody"] = code(lambda: unary(b"", metadata=[("x-nobody", "1")]))
    return seen


def call(target, authority=None):
    if authority is None:
        channel = grpc.insecure_channel(target, options=OPTIONS)
    else:
        with open(authority, "rb") as file:
            trust = grpc.ssl_channel_credentials(file.read())
        options = [*OPTIONS, ("grpc.ssl_target_name_override", "shop.test")]
        channel = grpc.secure_channel(target, trust, options=options)
    with channel:
        print(json.dumps(calls(channel)))


{"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
