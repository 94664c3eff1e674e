"""What is authentic: TUF metadata verified and built, artifacts, and the two keys' agreement.

Owns: verification of signed metadata (`verify`), artifacts' names and what is signed of them
(`artifact`), whether a directive and the signed targets say the same (`agreement`), keys and the
building of metadata (`keys`, `repository`), and the folder in which a server keeps it (`folder`, the
only module that touches a disk). In come bytes and the time; out go values, bytes and typed
refusals. Refuses: anything that is not signed by the keys that are trusted.

The agent carries this room but for `keys`, `repository` and `folder`; its signatures are ed25519, checked in
pure Python where `cryptography` is not there. The workflow is that of the TUF specification 1.0.
"""
