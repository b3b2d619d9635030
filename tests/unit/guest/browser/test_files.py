from __future__ import annotations

import base64
import struct

import anyio
import pytest

from tests.support.browser_world import LIMITS, Answer, World, needs_chromium, ref_of

pytestmark = [pytest.mark.anyio, needs_chromium]


def png_size(data: bytes) -> tuple[int, int]:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


async def test_a_file_of_the_workspace_opens_with_what_it_needs(world: World) -> None:
    world.workspace.add(
        "/workspace/site/report.html",
        """<title>Report</title><link rel=stylesheet href=css/s.css><h1>Größe</h1>
        <p>hidden by style</p><script src=app.js></script>""",
    )
    world.workspace.add("/workspace/site/css/s.css", "p { display: none }")
    world.workspace.add(
        "/workspace/site/app.js",
        "fetch('data.json').then((r) => r.json()).then((d) => document.body.append(d.total))",
    )
    world.workspace.add("/workspace/site/data.json", '{"total": "sum 42"}')
    for url in (
        "/workspace/site/report.html",
        "file:///workspace/site/report.html",
        "site/report.html",
        "http://workspace.sandlot/site/report.html",
    ):
        text = await world.call("navigate", url=url)
        assert text.startswith(
            "Opened /workspace/site/report.html.\nPage: Report (/workspace/site/report.html)\n"
        )
        assert 'heading "Größe"' in text
        text = await world.call("wait", text="sum 42")
        assert "sum 42" in text
        assert "hidden by style" not in text
        assert "workspace.sandlot" not in text


async def test_a_changed_file_is_seen(world: World) -> None:
    world.workspace.add("/workspace/page.html", "<script src=v.js></script>")
    for version in ("one", "two"):
        world.workspace.add("/workspace/v.js", f"document.write('version {version}')")
        assert f"version {version}" in await world.call("navigate", url="page.html")


async def test_links_between_files_work(world: World) -> None:
    world.workspace.add("/workspace/a b/one.html", "<a href='two%20ä.html?x=1#end'>next</a>")
    world.workspace.add("/workspace/a b/two ä.html", "<h1>second</h1>")
    text = await world.call("navigate", url="/workspace/a b/one.html")
    text = await world.call("click", ref=ref_of(text, 'link "next"'))
    assert "Page: /workspace/a b/two ä.html?x=1#end" in text
    assert 'heading "second"' in text


async def test_a_folder_is_its_index(world: World) -> None:
    world.workspace.add("/workspace/docs/index.html", "<h1>index</h1>")
    assert 'heading "index"' in await world.call("navigate", url="/workspace/docs/")


async def test_text_is_shown_as_text(world: World) -> None:
    for name, body in {
        "notes.md": "# Überschrift",
        "data.csv": "a,b\n1,2",
        "code.py": "print('hello')",
        "data.json": '{"a": [1]}',
        "run.sh": "echo hello",
    }.items():
        world.workspace.add(f"/workspace/{name}", body)
        text = await world.call("navigate", url=name)
        assert body.split("\n")[0] in text.replace('\\"', '"')


async def test_what_a_browser_does_not_show_is_told(world: World) -> None:
    world.workspace.add("/workspace/data.zip", b"PK\x03\x04")
    told = await world.fault("navigate", url="data.zip")
    assert (
        told == "/workspace/data.zip is not a page that a browser shows; read it with other tools."
    )
    assert "Note:" not in await world.call("snapshot")


async def test_a_missing_file_is_told(world: World) -> None:
    assert await world.fault("navigate", url="nope.html") == "There is no /workspace/nope.html."
    assert "give the whole URL" in await world.fault("navigate", url="example.com/a")


async def test_no_path_leads_out_of_the_workspace(world: World) -> None:
    for url in ("../etc/passwd", "/workspace/../etc/passwd", "file:///workspace/..%2f..%2fetc"):
        assert "is outside of /workspace" in await world.fault("navigate", url=url)
    world.workspace.add("/workspace/sly.html", "<img src='/..%2f..%2fetc%2fpasswd'>")
    await world.call("navigate", url="sly.html")
    assert world.workspace.asked == ["/workspace/sly.html"]


async def test_a_web_page_gets_no_file_of_the_workspace(world: World) -> None:
    world.workspace.add("/workspace/secret.js", "document.title = 'leaked'")
    world.workspace.add("/workspace/secret.html", "<h1>secret</h1>")
    world.workspace.add("/workspace/start.html", "<h1>start</h1>")
    await world.call("navigate", url="start.html")
    world.workspace.asked.clear()
    origin = "http://workspace.sandlot"
    await world.open(
        "/",
        f"""<script src={origin}/secret.js></script><img src={origin}/secret.html>
        <iframe src={origin}/secret.html></iframe>
        <script>
          fetch('{origin}/secret.html', {{mode: 'no-cors'}}).catch(() => 0);
          const blank = document.createElement('iframe');
          document.body.append(blank);
          blank.contentDocument.write('<script src={origin}/secret.js></' + 'script>');
        </script>""",
    )
    assert world.workspace.asked == []


async def test_a_page_of_the_workspace_can_ask_a_local_server(world: World) -> None:
    world.site.pages["/api"] = Answer(
        "from the server", "text/plain", headers={"Access-Control-Allow-Origin": "*"}
    )
    world.workspace.add(
        "/workspace/client.html",
        f"<script>fetch('{world.site.url}/api').then((r) => r.text())"
        ".then((t) => document.body.append(t))</script>",
    )
    await world.call("navigate", url="client.html")
    assert "from the server" in await world.call("wait", text="from the server")


async def test_a_picture_of_what_shows(world: World) -> None:
    await world.open("/", "<body style='margin:0'><div style='height:3000px'>x</div>")
    assert await world.call("screenshot") == f"Screenshot of {world.site.url}/."
    assert world.picture.mime_type == "image/png"
    assert png_size(base64.b64decode(world.picture.data or "")) == (LIMITS.width, LIMITS.height)


async def test_a_picture_of_the_whole_page_is_bounded(world: World) -> None:
    await world.open("/", "<body style='margin:0'><div style='height:3000px'>x</div>")
    await world.call("screenshot", full_page=True)
    assert png_size(base64.b64decode(world.picture.data or "")) == (LIMITS.width, 3000)
    await world.open("/", "<body style='margin:0'><div style='height:99000px'>x</div>")
    text = await world.call("screenshot", full_page=True)
    assert text.endswith("It is cut at 8000 pixels; all of it is 1280 x 99000.")
    assert png_size(base64.b64decode(world.picture.data or "")) == (LIMITS.width, 8000)


async def test_a_picture_of_an_element(world: World) -> None:
    page = """<body style='margin:0'><div style='height:2000px'></div>
      <button style='width:120px;height:40px;margin-left:30px'>B</button>
      <div role=img aria-label=Tall style='width:200px;height:1500px'></div>"""
    text = await world.open("/", page)
    ref = ref_of(text, 'button "B"')
    assert await world.call("screenshot", ref=ref) == f'Screenshot of button "B" ({ref}).'
    assert png_size(base64.b64decode(world.picture.data or "")) == (120, 40)
    await world.call("screenshot", ref=ref_of(text, 'img "Tall"'))
    assert png_size(base64.b64decode(world.picture.data or "")) == (200, 1500)


async def test_a_picture_is_saved(world: World) -> None:
    await world.open("/", "<h1>x</h1>")
    text = await world.call("screenshot", path="out/page.png")
    assert text.endswith("Saved as /workspace/out/page.png.")
    saved = world.workspace.place("/workspace/out/page.png").read_bytes()
    assert base64.b64decode(world.picture.data or "") == saved
    await world.call("screenshot", path="/workspace/page.jpg")
    assert world.picture.mime_type == "image/jpeg"
    assert world.workspace.place("/workspace/page.jpg").read_bytes()[:3] == b"\xff\xd8\xff"
    assert "should end in .png or .jpg" in await world.fault("screenshot", path="page.gif")
    assert "outside of /workspace" in await world.fault("screenshot", path="/etc/page.png")


async def test_a_heavy_picture_is_saved_whole_and_shown_lighter(world: World) -> None:
    noise = """<canvas id=c width=1280 height=6000></canvas><script>
      const at = c.getContext('2d'), image = at.createImageData(1280, 6000);
      for (let n = 0; n < image.data.length; n++) image.data[n] = 256 * Math.random();
      for (let n = 3; n < image.data.length; n += 4) image.data[n] = 255;
      at.putImageData(image, 0, 0);
    </script>"""
    await world.open("/", noise)
    await world.call("screenshot", full_page=True, path="noise.png")
    saved = world.workspace.place("/workspace/noise.png").read_bytes()
    assert len(saved) > LIMITS.picture_bytes
    assert world.picture.mime_type == "image/jpeg"
    assert len(base64.b64decode(world.picture.data or "")) <= LIMITS.picture_bytes


ATTACHED = Answer(
    "a,b\n1,2\n", "text/csv", headers={"Content-Disposition": 'attachment; filename="out.csv"'}
)


@pytest.mark.parametrize(
    "link",
    [
        "<a href=/export>Get</a>",
        "<a href=/export target=_blank>Get</a>",
        "<a href=/export download=out.csv>Get</a>",
        "<a download=out.csv href='data:text/csv,a,b%0A1,2%0A'>Get</a>",
        """<a id=a download=out.csv>Get</a>
        <script>a.href = URL.createObjectURL(new Blob(['a,b\\n1,2\\n']))</script>""",
    ],
)
async def test_a_download_is_kept(world: World, link: str) -> None:
    world.site.pages["/export"] = ATTACHED
    ref = ref_of(await world.open("/", link), 'link "Get"')
    text = await world.call("download", ref=ref)
    assert text.startswith(
        f'Clicked link "Get" ({ref}). Stored /workspace/downloads/out.csv (8 bytes).\n'
    )
    assert 'link "Get"' in text.partition("Snapshot:")[2]
    assert "open tabs" not in text
    stored = world.workspace.place("/workspace/downloads/out.csv")
    assert stored.read_bytes() == b"a,b\n1,2\n"
    stored.unlink()


async def test_where_a_download_goes_can_be_said(world: World) -> None:
    world.site.pages["/export"] = ATTACHED
    ref = ref_of(await world.open("/", "<a href=/export>Get</a>"), 'link "Get"')
    assert "Stored /workspace/data/in.csv (8" in await world.call(
        "download", ref=ref, path="data/in.csv"
    )
    assert "Stored /workspace/data/out.csv (8" in await world.call(
        "download", ref=ref, path="/workspace/data/"
    )


async def test_the_name_of_a_download_does_not_choose_its_folder(world: World) -> None:
    name = 'attachment; filename="../../.bashrc"'
    world.site.pages["/export"] = Answer("x", headers={"Content-Disposition": name})
    ref = ref_of(await world.open("/", "<a href=/export>Get</a>"), 'link "Get"')
    text = await world.call("download", ref=ref)
    name = text.partition("Stored /workspace/downloads/")[2].partition(" (")[0]
    assert "/" not in name
    assert world.workspace.place(f"/workspace/downloads/{name}").read_bytes() == b"x"


async def test_a_file_of_the_workspace_can_be_downloaded_from_its_page(world: World) -> None:
    world.workspace.add("/workspace/kit/table.csv", "a\n")
    world.workspace.add("/workspace/kit/page.html", "<a href=table.csv download>Get</a>")
    text = await world.call("navigate", url="kit/page.html")
    text = await world.call("download", ref=ref_of(text, 'link "Get"'))
    assert "Stored /workspace/downloads/table.csv (2 bytes)." in text


async def test_a_click_or_an_address_that_gives_a_file_keeps_it(world: World) -> None:
    world.site.pages["/export"] = ATTACHED
    text = await world.open("/", "<a href=/export>Get</a>")
    after = await world.call("click", ref=ref_of(text, 'link "Get"'))
    assert "Stored /workspace/downloads/out.csv (8 bytes)." in after
    after = await world.open("/export")
    assert after.startswith(
        f"{world.site.url}/export is a file, not a page. Stored /workspace/downloads/out.csv"
    )


async def test_a_download_that_is_too_large_is_told(world: World) -> None:
    large = {"Content-Disposition": "attachment", "Content-Length": str(LIMITS.download_bytes + 1)}
    world.site.pages["/large"] = Answer(b"x" * (LIMITS.download_bytes + 1), headers=large)
    ref = ref_of(await world.open("/", "<a href=/large>Get</a>"), 'link "Get"')
    told = await world.fault("download", ref=ref)
    assert told == f"The download is larger than the limit of {LIMITS.download_bytes} bytes."


async def test_a_download_that_breaks_off_is_told(world: World) -> None:
    broken = {"Content-Disposition": "attachment", "Content-Length": "100", "Connection": "close"}
    world.site.pages["/broken"] = Answer("only this", headers=broken)
    ref = ref_of(await world.open("/", "<a href=/broken>Get</a>"), 'link "Get"')
    world.site.hangs_up = True
    told = await world.fault("download", ref=ref)
    world.site.hangs_up = False
    assert told.startswith("The download failed: ")


async def test_when_no_download_begins_it_is_an_error_with_the_page(world: World) -> None:
    ref = ref_of(await world.open("/", "<button>Get</button>"), 'button "Get"')
    text = await world.call("download", ref=ref)
    assert text.startswith(f'Clicked button "Get" ({ref}), but no download began.\n')
    assert world.last.is_error


async def test_a_download_that_nobody_asked_for_is_refused(world: World) -> None:
    headers = {"Content-Disposition": "attachment; filename=surprise.csv"}
    world.site.pages["/export"] = Answer("x", headers=headers)
    text = await world.open(
        "/", "<script>setTimeout(() => location.href = '/export', 300)</script>"
    )
    with anyio.fail_after(10):
        while "Note: A download of 'surprise.csv' began and was cancelled" not in text:
            text = await world.call("wait", seconds=0.05)
    assert not world.workspace.place("/workspace/downloads/surprise.csv").exists()
