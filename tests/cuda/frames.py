"""Call frames as XLA makes them, by hand: xla/ffi/api/c_api.h in ctypes, as far as a handler reads it."""

from __future__ import annotations

import ctypes

_P, _I64, _I32, _SIZE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_size_t
_HEAD = [("struct_size", _SIZE), ("extension", _P)]


def _structure(name: str, *fields: tuple) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": [*_HEAD, *fields]})


Buffer = _structure("Buffer", ("dtype", _I32), ("data", _P), ("rank", _I64), ("dims", ctypes.POINTER(_I64)))
Several = _structure("Several", ("size", _I64), ("types", _P), ("items", ctypes.POINTER(_P)))
Attributes = _structure("Attributes", ("size", _I64), ("types", _P), ("names", _P), ("items", _P))
Version = _structure("Version", ("major", _I32), ("minor", _I32))
FUNCTIONS = (
    "error_create error_message error_destroy register stream_get type_register context_get state_set state_get "
    "allocate free schedule threads future_create future_available future_error run_id device_ordinal"
).split()
Api = _structure("Api", ("version", Version), ("internal", _P), *((name, _P) for name in FUNCTIONS))
CallFrame = _structure(
    "CallFrame", ("api", ctypes.POINTER(Api)), ("context", _P), ("stage", _I32),
    ("args", Several), ("rets", Several), ("attributes", Attributes), ("future", _P),
)  # fmt: skip
ErrorArguments = _structure("ErrorArguments", ("message", ctypes.c_char_p), ("code", _I32))
StreamArguments = _structure("StreamArguments", ("context", _P), ("stream", _P))
Metadata = type(
    "Metadata",
    (ctypes.Structure,),
    {"_fields_": [("struct_size", _SIZE), ("version", Version), ("traits", ctypes.c_uint32), ("state", _I64)]},
)
MetadataExtension = type(
    "MetadataExtension",
    (ctypes.Structure,),
    {"_fields_": [("struct_size", _SIZE), ("type", _I32), ("next", _P), ("metadata", ctypes.POINTER(Metadata))]},
)


class Frame:
    """One call: ``arguments`` and ``results`` are pairs of an address and a shape. Errors are numbered from 1."""

    STREAM_ERROR = 0x900
    CONTEXT = 0x700

    def __init__(self, arguments, results, stage=3, stream=0x5EED):
        self.stream, self.errors = stream, {}
        self._kept, self._refuses = [], False
        self.api = Api(struct_size=ctypes.sizeof(Api))
        kind = ctypes.CFUNCTYPE(_P, _P)
        self._functions = kind(self._create), kind(self._get_stream)
        self.api.error_create, self.api.stream_get = (ctypes.cast(function, _P).value for function in self._functions)
        self.frame = CallFrame(struct_size=ctypes.sizeof(CallFrame), context=self.CONTEXT, stage=stage)
        self.frame.api = ctypes.pointer(self.api)
        self.frame.args, self.frame.rets = self._several(arguments), self._several(results)

    def _several(self, buffers):
        items = (_P * max(1, len(buffers)))()
        for index, (address, shape) in enumerate(buffers):
            dims = (_I64 * max(1, len(shape)))(*shape)
            buffer = Buffer(data=address, rank=len(shape), dims=dims)
            self._kept += [dims, buffer]
            items[index] = ctypes.addressof(buffer)
        self._kept.append(items)
        return Several(size=len(buffers), items=ctypes.cast(items, ctypes.POINTER(_P)))

    def _create(self, address):
        given = ErrorArguments.from_address(address)
        assert given.struct_size == 28 and given.extension is None
        self.errors[len(self.errors) + 1] = given.code, given.message
        return len(self.errors)

    def _get_stream(self, address):
        given = StreamArguments.from_address(address)
        assert given.struct_size == 32 and given.extension is None and given.context == self.CONTEXT
        if self._refuses:
            return self.STREAM_ERROR
        given.stream = self.stream
        return None

    def refuse_stream(self):
        self._refuses = True

    def ask_metadata(self):
        self._metadata = Metadata(struct_size=ctypes.sizeof(Metadata))
        self._extension = MetadataExtension(type=1, metadata=ctypes.pointer(self._metadata))
        self.frame.extension = ctypes.addressof(self._extension)

    def metadata(self):
        """Major and minor version, traits."""
        found = self._metadata
        return found.version.major, found.version.minor, found.traits

    def call(self, handler):
        """The handler's answer: None, or an error."""
        return ctypes.CFUNCTYPE(_P, _P)(handler.address)(ctypes.addressof(self.frame))
