"""Devices over ssh: nothing needs to be installed there but Python.

    connection          one line to the device, by the system's own ssh
    conversation        a program on the device that says what it does and what it found
    host                the device: its Python, and calls of what the wheel brings
    own_wheel           a wheel of the edgedistill that runs here
    wheels              other packages, downloaded here for the device's Python
    device_environment  a virtual environment there, made once
    sending, sent       files by their hashes: what is there already is not sent again
    errand              verify, check, bench and selftest there, with their reports brought back
    fleet               several devices at once
    there, agent        what runs on the device: before the environment is made, and in it

`there` is imported by the device's bare Python from the wheel itself: this file imports nothing.
"""
