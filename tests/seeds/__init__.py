"""The documents of five import APIs, held against Ingot sentence by sentence.

Each file is one document. Its tests stand in the order of the document, and quote it; what is not tested is listed at
the top, so that nothing is passed over in silence.
"""
