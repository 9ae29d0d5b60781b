"""Where DMER lies on disk: layouts, subjects, labels."""

import numpy as np
import pytest
from dmer_fixture import ratings, refusal, save, write_merged

from mpcl_jax.data.dmer.files import Layout, find_subjects, read_labels


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("1/datas.mat", "2/eegfea.mat"), "mixes layouts"),
        (("1/datas.mat", "2.mat"), "mixes layouts"),
        (("1/perifea.mat", "datas_all_fea_2.mat"), "mixes layouts"),
        (("1.mat", "01.mat"), "subject 1 more than once"),
        (("notes.txt", "1/readme.txt", "S2/eegfea.mat"), "holds no subject of DMER"),
    ],
)
def test_unusable_folders_are_refused(tmp_path, files, reason):
    touch(tmp_path, *files)
    text = refusal(find_subjects, tmp_path, ())
    assert str(tmp_path) in text and reason in text


def test_features_beside_subject_folders_are_only_a_place_for_labels(tmp_path):
    touch(tmp_path, "1/eegfea.mat", "1/datas.mat", "Features/1.mat")
    assert [(f.subject, f.path) for f in find_subjects(tmp_path, ())] == [("1", tmp_path / "1")]


def one_subject(root):
    save(root / "4" / "eegfea.mat", feas=0.0)
    return find_subjects(root, ())[0]


def test_labels_are_taken_from_the_first_documented_place(tmp_path):
    found = one_subject(tmp_path)
    places = ("Features/4.mat", "4/ratings.mat", "4/datas.mat", "4/dis_label.mat")
    for k, place in enumerate(places):  # from the last place to the first
        save(tmp_path / place, dis_label=ratings(k))
        table, file = read_labels(found)
        assert file == tmp_path / place
        np.testing.assert_array_equal(table, ratings(k))


def test_labels_of_a_merged_file_come_from_itself_or_else_from_the_subject_folder(tmp_path):
    write_merged(tmp_path / "Features" / "4.mat", None)
    (found,) = find_subjects(tmp_path / "Features", ())
    assert "dis_label" in refusal(read_labels, found)
    save(tmp_path / "4" / "datas.mat", dis_label=ratings(4))
    assert read_labels(found)[1] == tmp_path / "4" / "datas.mat"
    write_merged(tmp_path / "Features" / "4.mat", ratings(1))
    assert read_labels(found)[1] == tmp_path / "Features" / "4.mat"


def test_missing_and_misshapen_labels_say_where_to_put_them(tmp_path):
    found = one_subject(tmp_path)
    text = refusal(read_labels, found)
    assert "subject 4" in text and "4/eegfea.mat" in text and "[32, 10]" in text
    assert str(tmp_path / "4" / "dis_label.mat") in text
    save(tmp_path / "4" / "dis_label.mat", dis_label=ratings(0)[:28])
    assert "(28, 10)" in refusal(read_labels, found)


def test_one_layout_of_a_mixed_folder_can_be_chosen(tmp_path):
    touch(tmp_path, "1/datas.mat", "2/eegfea.mat", "10/eegfea.mat")
    assert "config.data.dmer.subjects" in refusal(find_subjects, tmp_path, ())
    assert {f.layout for f in find_subjects(tmp_path, (1,))} == {Layout.SIGNALS}
    assert [f.subject for f in find_subjects(tmp_path, (10, 2))] == ["2", "10"]


def test_leading_zeros_do_not_make_another_subject(tmp_path):
    touch(tmp_path, "007/eegfea.mat", "10/eegfea.mat", "08/eegfea.mat")
    assert [f.subject for f in find_subjects(tmp_path, ())] == ["7", "8", "10"]
    assert find_subjects(tmp_path, (7,))[0].path == tmp_path / "007"
    assert "give its parent" in refusal(find_subjects, tmp_path / "007", ())
