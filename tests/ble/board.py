"""A sensor with flash: `pitchside-board`, the device's side as firmware authors have it, behind a virtual radio."""

import asyncio
import os
import pathlib

from guest import PATIENCE, REPO, Stuck
from imu import Imu

PROGRAM = pathlib.Path(os.environ.get("PITCHSIDE_BOARD", REPO / "target/debug/pitchside-board"))


async def make(folder):
    """What its publisher hands in."""
    folder.mkdir(parents=True, exist_ok=True)
    made = await asyncio.create_subprocess_exec(PROGRAM, "make", folder)
    if await made.wait() != 0:
        raise Stuck("pitchside-board make")


class Board(Imu):
    """Frames between the program and the air."""

    async def begin(self, psk):
        self.program = await asyncio.create_subprocess_exec(PROGRAM, "run", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
        self.program.stdin.write(f"{self.name} {psk}\n".encode())
        self.told = asyncio.Queue()
        self.carriers = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]

    async def _up(self):
        async for line in self.program.stdout:
            text = line.decode().strip()
            if text.startswith("= "):
                self.told.put_nowait(text[2:])
            else:
                await self.send(bytes.fromhex(text))
        self.told.put_nowait("ended")

    async def _down(self):
        while True:
            frame = await self.frames.get()
            self.program.stdin.write(f"{frame.hex()}\n".encode())

    async def says(self, seconds):
        """The next thing that happened to it."""
        return await asyncio.wait_for(self.told.get(), seconds * PATIENCE)

    async def off(self):
        for carrier in getattr(self, "carriers", []):
            carrier.cancel()
        if hasattr(self, "program") and self.program.returncode is None:
            self.program.kill()
            await self.program.wait()
        await super().off()
