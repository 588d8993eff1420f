"""Who signed a bundle, in a line."""

from edgedistill.runtime.bundle import Bundle
from edgedistill.runtime.bundle.keys import public_key_text
from edgedistill.runtime.bundle.signature import signer_of
from edgedistill.runtime.errors import MissingDependencyError


def signature_note(bundle: Bundle) -> str:
    """The key that signed a bundle, or that nobody did.

    Raises:
        BundleError: the signature is damaged, or does not fit the manifest.
    """
    try:
        signer = signer_of(bundle.storage, bundle.manifest_bytes)
    except MissingDependencyError as error:  # a device that asks for no signature need not be able to check one
        return f"signed, and not checked: {error}"
    return "not signed" if signer is None else f"signed by {public_key_text(signer)}"
