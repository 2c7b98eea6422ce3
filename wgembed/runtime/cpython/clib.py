"""Calls of C libraries, with the C part of cffi: PyNaCl has loaded it already, and ctypes would cost 0.5 MB."""

# Libraries stay loaded. cffi would unload one whose object is freed, although its functions can be in use.
_loaded = []


class Library:
    """The shared library at this path, or the C library for None. OSError if it cannot be loaded. See contract.py."""

    def __init__(self, path):
        try:
            import _cffi_backend as cffi  # imported late, because most processes load no library
        except ImportError as e:
            raise OSError(str(e)) from None
        self._cffi = cffi
        self._types = {
            "i": cffi.new_primitive_type("int32_t"),
            "I": cffi.new_primitive_type("uint32_t"),
            "Q": cffi.new_primitive_type("uint64_t"),
            "L": cffi.new_primitive_type("unsigned long"),
            "P": cffi.new_pointer_type(cffi.new_void_type()),
        }
        self._library = cffi.load_library(path, 0)
        _loaded.append(self._library)

    def function(self, result, name, arguments):
        """Return the function of this name; OSError if it does not exist. See contract.py for the letters of the types."""
        types = self._types
        kind = self._cffi.new_function_type(tuple([types[letter] for letter in arguments]), types[result], False)
        try:
            return self._library.load_function(kind, name)
        except AttributeError as e:
            raise OSError(str(e)) from None


def errno():
    """Return the errno of the last call that failed."""
    import _cffi_backend as cffi

    return cffi.get_errno()
