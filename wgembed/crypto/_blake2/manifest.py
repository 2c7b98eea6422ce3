metadata(description="BLAKE2s, a subset of CPython's _blake2", version="0.1.0")  # noqa: F821

package("_blake2", base_path="..")  # noqa: F821
