from __future__ import annotations

import os
import pathlib

import pytest

from exporter import procfs
from exporter.collectors import textfile
from tests.exporter import host

GOOD = "# HELP good_value A value.\n# TYPE good_value gauge\ngood_value 1\n"


def served(folder: pathlib.Path, **files: str) -> str:
    for name, content in files.items():
        (folder / f"{name}.prom").write_text(content)
    return host.text(textfile.Textfile(folder))


@pytest.mark.parametrize(
    "bad",
    [
        "good value 1\n",
        "bad_value one\n",
        "bad_value{a=} 1\n",
        "bad_value 1 1500000000000\n",
        "bad_value 1",
        "bad_value 1\nbad_value 2\n",
        "# TYPE good_value counter\ngood_value{x='1'} 1\n",
        "\x00\n",
    ],
)
def test_a_bad_file_is_refused_whole_and_the_rest_served(tmp_path: pathlib.Path, bad: str) -> None:
    text = served(tmp_path, a_good=GOOD, b_bad="fine_before 1\n" + bad)
    assert "good_value 1.0\n" in text
    assert "node_textfile_scrape_error 1.0\n" in text
    assert "fine_before" not in text
    assert "b_bad" not in text


def test_good_files_give_their_time_of_change_and_no_error(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.prom").write_text(GOOD)
    os.utime(tmp_path / "a.prom", (5, 1234.5))
    text = host.text(textfile.Textfile(tmp_path))
    assert f'node_textfile_mtime_seconds{{file="{tmp_path}/a.prom"}} 1234.0\n' in text
    assert "node_textfile_scrape_error 0.0\n" in text


def test_two_files_share_a_family_but_not_a_series(tmp_path: pathlib.Path) -> None:
    first = '# TYPE shared gauge\nshared{from="a"} 1\n'
    other = '# TYPE shared gauge\nshared{from="b"} 2\n'
    text = served(tmp_path, a=first, b=other, c=other)
    assert text.count("# TYPE shared gauge\n") == 1
    assert 'shared{from="a"} 1.0\nshared{from="b"} 2.0\n' in text
    assert "node_textfile_scrape_error 1.0\n" in text


def test_a_changed_file_is_read_again(tmp_path: pathlib.Path) -> None:
    collector = textfile.Textfile(tmp_path)
    path = tmp_path / "a.prom"
    path.write_text("changing 1\n")
    os.utime(path, (1, 1))
    assert "changing 1.0\n" in host.text(collector)
    path.write_text("changing 2\n")
    os.utime(path, (2, 2))
    assert "changing 2.0\n" in host.text(collector)


def test_a_family_without_help_names_its_file(tmp_path: pathlib.Path) -> None:
    text = served(tmp_path, a="bare 1\n")
    assert f"# HELP bare Metric read from {tmp_path}/a.prom\n# TYPE bare untyped\n" in text


def test_a_counter_without_total_becomes_untyped_which_both_formats_allow(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "a.prom").write_text("# TYPE jobs counter\njobs 3\n")
    collector = textfile.Textfile(tmp_path)
    assert "# TYPE jobs untyped\njobs 3.0\n" in host.text(collector)
    assert "# TYPE jobs unknown\njobs 3.0\n" in host.text(collector, openmetrics=True)


def test_a_fifo_among_the_files_is_refused_not_waited_for(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "a.prom")
    assert "node_textfile_scrape_error 1.0\n" in served(tmp_path, b=GOOD)


def test_a_missing_folder_is_an_error_and_no_folder_is_no_data(tmp_path: pathlib.Path) -> None:
    assert "node_textfile_scrape_error 1.0\n" in served(tmp_path / "absent")
    with pytest.raises(procfs.NoData):
        textfile.Textfile(None).collect()
