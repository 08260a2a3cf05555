"""Headless Chromium for tests, and for the screenshots of docs/images.

python -m tests.pages.browser ADDRESS PICTURE.png [dark] [WIDTHxHEIGHT]
"""

import contextlib
import shutil
import sys
import tempfile
import time

import pytest

_FLAGS = (
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
)


@contextlib.contextmanager
def opened(*, width=1280, height=1400, dark=False):
  """A browser with a profile of its own; skips a test where there is none."""
  webdriver = pytest.importorskip('selenium.webdriver')
  paths = {name: shutil.which(name) for name in ('chromium', 'chromedriver')}
  if None in paths.values():
    pytest.skip('chromium and chromedriver are not installed')
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    options = webdriver.ChromeOptions()
    options.binary_location = paths['chromium']
    flags = [*_FLAGS, f'--window-size={width},{height}']
    if dark:
      flags.append('--blink-settings=preferredColorScheme=0')
    for flag in (*flags, f'--user-data-dir={profile}'):
      options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    service = webdriver.ChromeService(paths['chromedriver'])
    browser = webdriver.Chrome(options, service)
    try:
      yield browser
    finally:
      browser.quit()


def until(browser, script, seconds=20):
  """What a script returns as soon as that is true; None if it never is."""
  end = time.perf_counter() + seconds
  while time.perf_counter() < end:
    if found := browser.execute_script(f'return {script}'):
      return found
    time.sleep(0.02)
  return None


def main(address, picture, *options):
  """Writes the whole page as a picture."""
  size = [each for each in options if 'x' in each]
  width, height = map(int, (size or ['1280x1400'])[0].split('x'))
  with opened(width=width, height=height, dark='dark' in options) as browser:
    browser.get(address)
    until(browser, 'document.querySelectorAll("path.mean").length')
    time.sleep(3)
    browser.save_screenshot(picture)
    for line in browser.get_log('browser'):
      print(line)


if __name__ == '__main__':
  main(*sys.argv[1:])
