"""C libraries that no module of Python's wraps, by what cffi stands on: PyNaCl has loaded it, and ctypes costs 0.5 MB."""


class Library:
    """The shared library of this path, None for the C library; OSError if there is none. Functions live as long as this."""

    def __init__(self, path):
        try:
            import _cffi_backend as cffi  # not before it is needed: most processes here load no library
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

    def function(self, result, name, arguments):
        """Return a function by the letters of its types: i and I of 32 bits, Q of 64, L a long, P a pointer or bytes.

        OSError if there is none of that name.
        """
        types = self._types
        kind = self._cffi.new_function_type(tuple([types[letter] for letter in arguments]), types[result], False)
        try:
            return self._library.load_function(kind, name)
        except AttributeError as e:
            raise OSError(str(e)) from None


def errno():
    """Return the error of the last call that failed."""
    import _cffi_backend as cffi

    return cffi.get_errno()
